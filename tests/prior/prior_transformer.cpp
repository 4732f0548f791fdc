#include <dalle2/prior/prior_transformer.hpp>

#include <doctest/doctest.h>

#include <dalle2/engine/cpu.hpp>
#include <dalle2/engine/reference.hpp>

#include "../pipeline/tiny_model.hpp"

using namespace dalle2;

TEST_CASE_TEMPLATE("A step from the prepared text is the whole network's output", E, Reference,
                   Cpu<float>) {
    constexpr std::int64_t width = tiny_model::width;
    const PriorTransformer<E> prior = tiny_model::prior<E>();
    TorchGenerator generator(1);
    const auto random = [&](const Shape& shape) { return E::from_array(generator.normal(shape)); };
    // Texts of different lengths; the first stands for two.
    const auto embedding = random({2, width}), states = random({2, 5, width});
    const std::vector<std::int32_t> keep = {1, 1, 0, 0, 0, 1, 1, 1, 1, 1};
    const auto x = random({3, width});
    const auto all_embeddings = repeat_first<E>(embedding, 2);
    const auto all_states = repeat_first<E>(states, 2);
    const std::vector<std::int32_t> all_keep = {1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1};

    const PreparedText<E> text = prior.prepare(embedding, states, keep, 2);
    const auto times = prior.prepare(std::vector<double>{999, 40});
    for (const std::int64_t step : {0, 1}) {
        const double t = step == 0 ? 999 : 40;
        const Array expected = E::to_array(
            prior(x, std::vector<double>{t, t, t}, all_embeddings, all_states, all_keep));
        const Array found =
            E::to_array(prior(x, E::repeat(E::slice(times, 0, step, step + 1), 3), text));
        REQUIRE(shape_of(found) == Shape{3, width});
        for (std::size_t i = 0; i < found.size(); ++i)
            CHECK(found.data()[i] == doctest::Approx(expected.data()[i]).epsilon(1e-4));
    }
}

TEST_CASE("a prior without layers is refused") {
    const PriorConfig config{
        .embedding_dim = 8, .num_attention_heads = 1, .attention_head_dim = 8, .num_layers = 0};
    CHECK_THROWS_AS(PriorTransformer<Reference>{config}, ConfigError);
}
