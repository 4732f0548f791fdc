// CLIP's space on its principal axes, and embeddings brought to mean 0 and deviation 1.
#include <doctest/doctest.h>

#include <dalle2/core/random.hpp>
#include <dalle2/engine/reference.hpp>
#include <dalle2/train/condition_statistics.hpp>
#include <dalle2/train/initialize.hpp>
#include <dalle2/train/principal_axes.hpp>

using namespace dalle2;

namespace {

// Rows that are widest along (1, 1, 0), then along (0, 0, 1), narrowest along (1, -1, 0).
Array tilted_rows(std::int64_t count) {
    const CounterGenerator random(3);
    Array rows = make_array({count, 3});
    for (std::int64_t i = 0; i < count; ++i) {
        const auto at = static_cast<std::uint64_t>(3 * i);
        const float a = 5.0f * random.normal(at), b = 0.5f * random.normal(at + 1),
                    c = 2.0f * random.normal(at + 2);
        rows(i, 0) = 7.0f + a + b;
        rows(i, 1) = a - b;
        rows(i, 2) = c - 1.0f;
    }
    return rows;
}

Array turned(const Array& rows, const Array& axes) {
    const Shape shape = shape_of(rows);
    Array result = make_array(shape);
    for (std::int64_t i = 0; i < shape[0]; ++i)
        for (std::int64_t k = 0; k < shape[1]; ++k)
            for (std::int64_t j = 0; j < shape[1]; ++j) result(i, k) += axes(k, j) * rows(i, j);
    return result;
}

Array random_array(const Shape& shape, std::uint64_t seed) {
    Array values = make_array(shape);
    CounterGenerator(seed).normal(0, {values.data(), values.size()});
    return values;
}

}  // namespace

TEST_CASE(
    "principal axes are orthogonal, the widest first, and find nothing to turn in turned rows") {
    const Array rows = tilted_rows(2000), axes = principal_axes(rows);
    const double half = std::sqrt(0.5);
    CHECK(std::abs(static_cast<double>(axes(0, 0))) == doctest::Approx(half).epsilon(0.02));
    CHECK(axes(0, 0) * axes(0, 1) > 0.0f);
    CHECK(static_cast<double>(axes(1, 2)) == doctest::Approx(1).epsilon(0.02));
    CHECK(axes(2, 0) * axes(2, 1) < 0.0f);
    const Array again = principal_axes(turned(rows, axes));
    for (std::int64_t i = 0; i < 3; ++i)
        for (std::int64_t j = 0; j < 3; ++j) {
            float product = 0;
            for (std::int64_t k = 0; k < 3; ++k) product += axes(i, k) * axes(j, k);
            CHECK(product == doctest::Approx(i == j).epsilon(1e-5));
            CHECK(again(i, j) == doctest::Approx(i == j).epsilon(1e-3));
        }
}

TEST_CASE("a projection into the turned space makes turned embeddings") {
    const Array axes = principal_axes(tilted_rows(100)), weight = random_array({3, 5}, 1),
                x = random_array({5}, 2);
    std::vector<float> values(weight.begin(), weight.end());
    turn_projection(axes, values);
    Array embedding = make_array({1, 3});
    for (std::int64_t i = 0; i < 3; ++i)
        for (std::int64_t j = 0; j < 5; ++j) embedding(0, i) += weight(i, j) * x(j);
    const Array expected = turned(embedding, axes);
    for (std::size_t i = 0; i < 3; ++i) {
        float found = 0;
        for (std::size_t j = 0; j < 5; ++j) found += values[i * 5 + j] * x(j);
        CHECK(found == doctest::Approx(expected(0, i)).epsilon(1e-5));
    }
}

TEST_CASE("columns have their mean and deviation, and narrow ones a floor") {
    Array rows = make_array({4, 3});
    for (std::int64_t i = 0; i < 4; ++i) {
        rows(i, 0) = i % 2 ? 11.0f : 9.0f;
        rows(i, 1) = i < 2 ? 0.0f : 10.0f;
        rows(i, 2) = 3.0f;
    }
    const ColumnStatistics statistics = column_statistics(rows);
    CHECK(statistics.mean(0) == doctest::Approx(10));
    CHECK(statistics.deviation(0) == doctest::Approx(1));
    CHECK(statistics.deviation(1) == doctest::Approx(5));
    CHECK(statistics.mean(2) == doctest::Approx(3));
    CHECK(statistics.deviation(2) == doctest::Approx(0.1));
}

TEST_CASE(
    "a folded text projection does with raw embeddings what it did with normalised ones, and "
    "back") {
    const TextProjectionConfig config{.clip_embeddings_dim = 6,
                                      .time_embed_dim = 8,
                                      .cross_attention_dim = 4,
                                      .clip_extra_context_tokens = 2};
    TextProjection<Reference> projection(config);
    for_each_parameter(projection, [](const std::string& name, auto& parameter) {
        Reference::load(parameter, random_array(parameter.shape(), detail::name_hash(name)));
    });
    ConditionStatistics<Reference> statistics(config);
    const Array positive = xt::abs(random_array({6}, 3)) + 0.3f,
                other = xt::abs(random_array({6}, 4)) + 0.3f;
    statistics.image.set(random_array({6}, 5), positive);
    statistics.text.set(random_array({6}, 6), other);

    const Array image = random_array({2, 6}, 7), text = random_array({2, 6}, 8),
                states = random_array({2, 3, 6}, 9);
    const auto same = [](const Array& found, const Array& expected) {
        for (std::size_t i = 0; i < expected.size(); ++i)
            CHECK(found.data()[i] == doctest::Approx(expected.data()[i]).epsilon(1e-4).scale(1e-2));
    };
    const auto expected = projection(statistics.image(image), statistics.text(text), states);
    const Array none = projection.unconditional_image_embedding(1);
    TextProjection<Reference> folded = projection;
    fold_statistics(folded, statistics);
    const auto found = folded(image, text, states);
    same(found.context, expected.context);
    same(found.time, expected.time);
    same(statistics.image(folded.unconditional_image_embedding(1)), none);

    unfold_statistics(folded, statistics);
    for_each_parameter(folded, [&](const std::string& name, const auto& parameter) {
        for_each_parameter(projection, [&](const std::string& original, const auto& values) {
            if (name == original) same(Reference::store(parameter), Reference::store(values));
        });
    });
}
