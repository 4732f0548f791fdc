#include <dalle2/clip/text_encoder.hpp>

#include <algorithm>
#include <cmath>
#include <map>

#include <doctest/doctest.h>

#include <dalle2/core/random.hpp>
#include <dalle2/engine/autodiff.hpp>
#include <dalle2/engine/trace.hpp>
#include <dalle2/train/initialize.hpp>

using namespace dalle2;

namespace {

const ClipTextConfig encoder_config{.encoder = {12, 24, 3, 3},
                                    .vocab_size = 30,
                                    .max_position_embeddings = 7,
                                    .projection_dim = 5,
                                    .eos_token_id = 29};

// Texts that end at different places; the second has no end, so its first token counts.
const TokenBatch three_texts{3, 6, {4, 9, 29, 0, 0, 0, 7, 7, 8, 9, 1, 2, 3, 11, 12, 20, 2, 29}, {}};

}  // namespace

TEST_CASE("an embedding alone is that beside all states, and has the same gradients") {
    using E = Autodiff<double>;
    ClipTextEncoder<E> encoder(encoder_config);
    initialize<E>(encoder, 1);
    const auto made = [&](const E::Tensor& embedding) {
        for_each_parameter(encoder, [](const auto&, const auto& p) { p.clear_gradient(); });
        CpuTensor<double> weights(E::shape(embedding));
        for (std::int64_t i = 0; i < weights.count(); ++i)
            weights.data()[i] = std::sin(static_cast<double>(i + 1));
        E::backward({{embedding, weights}});
        std::map<std::string, std::vector<double>> values;
        for_each_parameter(encoder, [&](const std::string& name, const auto& p) {
            CHECK_MESSAGE(p.has_gradient(), name);
            values[name] = p.gradient();
        });
        values["embedding"] = {embedding.value.data(),
                               embedding.value.data() + embedding.value.count()};
        return values;
    };
    const auto expected = made(encoder(three_texts).text_embedding);
    const auto found = made(encoder.embedding(three_texts));
    REQUIRE(found.size() == expected.size());
    for (const auto& [name, values] : expected) {
        INFO(name);
        const std::vector<double>& others = found.at(name);
        REQUIRE(others.size() == values.size());
        double difference = 0, largest = 1e-3;
        for (std::size_t i = 0; i < values.size(); ++i) {
            difference = std::max(difference, std::abs(values[i] - others[i]));
            largest = std::max(largest, std::abs(values[i]));
        }
        CHECK(difference < 1e-12 * largest);
    }
}

TEST_CASE("an embedding alone takes a sixth of the last layer, but for its one token") {
    const ClipTextEncoder<Trace> encoder(encoder_config);
    const auto cost = [&](const auto& run) {
        TraceLog log;
        const TraceLog::Scope scope(log);
        run();
        return log.multiply_adds();
    };
    // Of 18 tokens 15 go through neither the query, nor the output, nor the perceptron; the
    // attention of each is 2 · 6 tokens · 12.
    const std::int64_t less = 15 * (2 * 12 * 12 + 2 * 12 * 24 + 2 * 6 * 12);
    CHECK(cost([&] { encoder(three_texts); }) - cost([&] { encoder.embedding(three_texts); }) ==
          less);
}

TEST_CASE("an encoder without layers is refused") {
    ClipTextConfig config = encoder_config;
    config.encoder.num_hidden_layers = 0;
    CHECK_THROWS_AS(ClipTextEncoder<Trace>{config}, ConfigError);
}
