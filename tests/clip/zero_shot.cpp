#include <dalle2/clip/zero_shot.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace dalle2;

namespace {

Array rows(const Shape& shape, const std::vector<float>& values) {
    Array array = make_array(shape);
    std::copy(values.begin(), values.end(), array.data());
    return array;
}

}  // namespace

TEST_CASE("similarities are cosines: lengths do not matter, zeros are at right angles to all") {
    const Array pictures = rows({3, 2}, {3, 0, 0, 0, -1, 1});
    const Array labels = rows({4, 2}, {7, 0, 0, 0.5f, -2, 0, 1, 1});
    const Array cosines = cosine_similarities(pictures, labels);
    REQUIRE(shape_of(cosines) == Shape{3, 4});
    const float half = std::sqrt(0.5f);
    const float expected[] = {1, 0, -1, half, 0, 0, 0, 0, -half, half, half, 0};
    for (std::size_t i = 0; i < 12; ++i)
        CHECK(cosines.data()[i] == doctest::Approx(expected[i]).epsilon(1e-6));
}

TEST_CASE("probabilities of labels are a softmax of scaled cosines, whatever the scale") {
    const Array pictures = rows({1, 2}, {1, 0});
    const Array labels = rows({3, 2}, {1, 0, 0, 1, -1, 0});  // cosines 1, 0, -1
    const Array soft = label_probabilities(pictures, labels, 2);
    const double sum = std::exp(2.0) + 1 + std::exp(-2.0);
    CHECK(soft.data()[0] == doctest::Approx(std::exp(2.0) / sum));
    CHECK(soft.data()[1] == doctest::Approx(1 / sum));
    CHECK(soft.data()[2] == doctest::Approx(std::exp(-2.0) / sum));
    const Array hard = label_probabilities(pictures, labels, 1e6);
    CHECK(hard.data()[0] == 1);
    CHECK(hard.data()[1] == 0);
    const Array flat = label_probabilities(pictures, labels, 0);
    CHECK(flat.data()[2] == doctest::Approx(1.0 / 3));
}

TEST_CASE("the best label is the first of the largest, and none where nothing is a number") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const Array scores = rows({4, 3}, {1, 3, 2, 5, 1, 5, nan, -2, -3, nan, nan, nan});
    CHECK(best_labels(scores) == std::vector<std::int64_t>{1, 0, 1, -1});
}

TEST_CASE("embeddings that cannot be compared are refused") {
    CHECK_THROWS_AS(cosine_similarities(make_array({1, 3}), make_array({1, 4})), ShapeError);
    CHECK_THROWS_AS(cosine_similarities(make_array({3}), make_array({1, 3})), ShapeError);
    CHECK_THROWS_AS(label_probabilities(make_array({1, 3}), make_array({0, 3})), ShapeError);
    CHECK_THROWS_AS(best_labels(make_array({3})), ShapeError);
}

TEST_CASE("a label's vector is the direction in the middle of its sentences'") {
    // Two labels with two sentences; lengths do not matter.
    const Array sentences = rows({4, 2}, {5, 0, 0, 0.1f, -1, 0, -1, 0});
    const Array means = mean_directions(sentences, 2);
    REQUIRE(shape_of(means) == Shape{2, 2});
    CHECK(means(0, 0) == doctest::Approx(std::sqrt(0.5)));
    CHECK(means(0, 1) == doctest::Approx(std::sqrt(0.5)));
    CHECK(means(1, 0) == -1);
    CHECK(means(1, 1) == 0);
    CHECK_THROWS_AS(mean_directions(sentences, 3), ShapeError);
    CHECK_THROWS_AS(mean_directions(sentences, 0), ShapeError);
}
