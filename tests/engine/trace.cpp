// Shapes and costs of the Trace engine; the costs of the public unCLIP checkpoint are those that
// were counted in the reference implementation.
#include <doctest/doctest.h>

#include <dalle2/clip/text_encoder.hpp>
#include <dalle2/decoder/text_projection.hpp>
#include <dalle2/decoder/unet.hpp>
#include <dalle2/engine/trace.hpp>
#include <dalle2/nn/visit.hpp>
#include <dalle2/prior/prior_transformer.hpp>

using namespace dalle2;

namespace {

double giga(std::int64_t count) { return static_cast<double>(count) * 1e-9; }

std::int64_t multiply_adds_of(const TraceLog& log, const std::string& operation) {
    for (const TraceSummary& kind : log.summary())
        if (kind.operation == operation) return kind.multiply_adds;
    return 0;
}

UNetConfig karlo_decoder() {
    return {.in_channels = 3,
            .out_channels = 6,
            .sample_size = 64,
            .levels = {{320}, {640, true, true}, {960, true, true}, {1280, true, true}},
            .layers_per_block = 3,
            .mid_attention = true,
            .context_width = 1536,
            .conditioning = TimeConditioning::scale_shift};
}

}  // namespace

TEST_CASE("each operation is recorded with its shapes, multiply-adds and bytes") {
    TraceLog log(2);
    {
        const TraceLog::Scope scope(log);
        const Trace::Parameter weight({7, 5}, ParameterKind::matrix),
            bias({7}, ParameterKind::vector);
        const Trace::Tensor y = Trace::linear(Trace::tensor({2, 3, 5}), weight, &bias);
        CHECK(y.shape == Shape{2, 3, 7});
        const Trace::Parameter kernel({4, 7, 3, 3}, ParameterKind::convolution);
        const Trace::Tensor z = Trace::conv2d(Trace::reshape(y, {2, 3, 1, 7}), kernel, nullptr,
                                              {.stride = 2, .padding = 1});
        CHECK(z.shape == Shape{2, 2, 1, 4});
        const Trace::Tensor q = Trace::tensor({2, 3, 8}), k = Trace::tensor({2, 5, 8});
        CHECK(Trace::attention(q, k, k, {.heads = 2}).shape == Shape{2, 3, 8});
    }
    Trace::activate(Trace::tensor({3}), Activation::silu);  // nobody listens
    REQUIRE(log.entries().size() == 3);
    CHECK(log.entries()[0].operation == "linear");
    CHECK(log.entries()[0].inputs == std::vector<Shape>{{2, 3, 5}, {7, 5}, {7}});
    CHECK(log.entries()[0].result == Shape{2, 3, 7});
    CHECK(log.entries()[0].multiply_adds == 2 * 3 * 5 * 7);
    CHECK(log.entries()[0].bytes == 2 * (30 + 35 + 7 + 42));
    CHECK(log.entries()[1].operation == "conv2d 3x3");
    CHECK(log.entries()[1].multiply_adds == 2 * 2 * 4 * 7 * 9);
    CHECK(log.entries()[2].multiply_adds == 2 * (2 * 3 * 5 * 8));
    CHECK(log.multiply_adds() == 210 + 1008 + 480);
    CHECK(log.summary().front().operation == "conv2d 3x3");
}

TEST_CASE("the peak of the activations counts what lives at one time") {
    TraceLog log;
    const TraceLog::Scope scope(log);
    {
        Trace::Tensor x = Trace::tensor({100});
        x = Trace::scale(x, 2.0);  // both live for a moment
        const Trace::Tensor same = Trace::reshape(x, {10, 10});
        Trace::activate(same, Activation::gelu);
    }
    Trace::tensor({150});
    CHECK(log.peak_bytes() == 4 * 200);
}

TEST_CASE("a wrong shape is an error as on any other engine") {
    const Trace::Parameter weight({7, 5}, ParameterKind::matrix);
    CHECK_THROWS_AS(Trace::linear(Trace::tensor({2, 6}), weight, nullptr), ShapeError);
    CHECK_THROWS_AS(Trace::reshape(Trace::tensor({2, 6}), {5}), ShapeError);
    CHECK_THROWS_AS(Trace::add(Trace::tensor({2, 6}), Trace::tensor({2})), ShapeError);
}

TEST_CASE("the public decoder: parameters and multiply-adds as the reference counts them") {
    const UNet<Trace> decoder(karlo_decoder());
    CHECK(giga(parameter_count(decoder)) == doctest::Approx(0.885).epsilon(0.001));
    TraceLog log;
    const TraceLog::Scope scope(log);
    const Trace::Tensor context = Trace::tensor({2, 81, 1536}), time = Trace::tensor({2, 1280});
    const std::vector<double> timesteps = {999, 999};
    const auto y = decoder(Trace::tensor({2, 64, 64, 3}), timesteps, &time, {.tokens = &context});
    CHECK(y.shape == Shape{2, 64, 64, 6});
    CHECK(giga(log.multiply_adds() - multiply_adds_of(log, "attention")) ==
          doctest::Approx(585).epsilon(0.002));
    CHECK(giga(multiply_adds_of(log, "conv2d 3x3")) == doctest::Approx(511).epsilon(0.002));
}

TEST_CASE("the public upsampler: parameters and multiply-adds as the reference counts them") {
    const UNet<Trace> upsampler({.in_channels = 6,
                                 .out_channels = 3,
                                 .sample_size = 256,
                                 .levels = {{320}, {640}, {960}, {1280}},
                                 .layers_per_block = 3});
    CHECK(giga(parameter_count(upsampler)) == doctest::Approx(0.692).epsilon(0.001));
    TraceLog log;
    const TraceLog::Scope scope(log);
    const std::vector<double> timesteps = {999};
    upsampler(Trace::tensor({1, 256, 256, 6}), timesteps);
    CHECK(giga(log.multiply_adds()) == doctest::Approx(4249).epsilon(0.002));
    CHECK(giga(multiply_adds_of(log, "conv2d 3x3")) == doctest::Approx(4084).epsilon(0.002));
}

TEST_CASE("the public prior: parameters and multiply-adds as the reference counts them") {
    const PriorTransformer<Trace> prior(PriorConfig{.embedding_dim = 768,
                                                    .num_attention_heads = 32,
                                                    .attention_head_dim = 64,
                                                    .num_layers = 20});
    CHECK(giga(parameter_count(prior)) == doctest::Approx(1.022).epsilon(0.001));
    TraceLog log;
    const TraceLog::Scope scope(log);
    const std::vector<double> timesteps = {999, 999};
    const std::vector<std::int32_t> keep(2 * 77, 1);
    prior(Trace::tensor({2, 768}), timesteps, Trace::tensor({2, 768}), Trace::tensor({2, 77, 768}),
          keep);
    // Of the last block the reference makes all 81 tokens, this only the one that counts: the
    // others go neither through the query and the output, nor through the perceptron.
    const double left_out = 2 * 80 * (2 + 8) * 2048.0 * 2048.0 * 1e-9;
    CHECK(giga(log.multiply_adds() - multiply_adds_of(log, "attention")) + left_out ==
          doctest::Approx(163).epsilon(0.005));
}

TEST_CASE("the text encoder runs on shapes alone") {
    const ClipTextEncoder<Trace> encoder({.encoder = {768, 3072, 12, 12},
                                          .vocab_size = 49408,
                                          .max_position_embeddings = 77,
                                          .projection_dim = 768});
    CHECK(giga(parameter_count(encoder)) == doctest::Approx(0.1237).epsilon(0.001));
    TraceLog log;
    const TraceLog::Scope scope(log);
    const TokenBatch text = {1, 77, std::vector<std::int32_t>(77, 5),
                             std::vector<std::int32_t>(77, 1)};
    const auto [embedding, states] = encoder(text);
    CHECK(embedding.shape == Shape{1, 768});
    CHECK(states.shape == Shape{1, 77, 768});
    CHECK(giga(multiply_adds_of(log, "linear")) == doctest::Approx(6.55).epsilon(0.01));
}
