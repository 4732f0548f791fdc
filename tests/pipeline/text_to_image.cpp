#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cmath>
#include <limits>
#include <thread>

#include <dalle2/diffusion/ddim_sampler.hpp>
#include <dalle2/engine/cpu.hpp>

#include "tiny_pipeline.hpp"

using namespace dalle2;

namespace {

using E = Cpu<float>;

double largest_difference(const Array& a, const Array& b) {
    REQUIRE(shape_of(a) == shape_of(b));
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        CHECK(std::isfinite(a.data()[i]));
        largest = std::max(largest, std::abs(double{a.data()[i]} - double{b.data()[i]}));
    }
    return largest;
}

const auto& pipeline() {
    static const auto made = tiny_model::pipeline<E>();
    return made;
}

}  // namespace

TEST_CASE("a prompt becomes a picture of the upsampler's size") {
    const Picture picture = pipeline()("a red owl", {.seed = 7});
    CHECK(picture.width == tiny_model::large_size);
    CHECK(picture.height == tiny_model::large_size);
    const Generation made = pipeline().generate({"a red owl"}, {.seed = 7});
    CHECK(made.picture().rgb == picture.rgb);
    CHECK(shape_of(made.image_embedding) == Shape{1, tiny_model::width});
    CHECK(shape_of(made.small_pictures) == Shape{1, 8, 8, 3});
    for (const float value : made.small_pictures) CHECK(std::abs(value) <= 1);
}

TEST_CASE(
    "the same seed gives the same bytes for any number of threads, another seed another picture") {
    const Array one = pipeline().generate({"owl"}, {.seed = 3, .threads = 1}).pictures;
    CHECK(pipeline().generate({"owl"}, {.seed = 3, .threads = 3}).pictures == one);
    CHECK(pipeline().generate({"owl"}, {.seed = 3}).pictures == one);
    CHECK(largest_difference(pipeline().generate({"owl"}, {.seed = 4}).pictures, one) > 0.1);
}

TEST_CASE("weights that are no numbers are an error that names the stage and its step") {
    const auto spoil = [](auto& network, const char* parameter, float value) {
        for_each_parameter(network, [&](const std::string& name, E::Parameter& found) {
            if (name != parameter) return;
            Array values = E::store(found);
            values.data()[0] = value;
            E::load(found, values);
        });
    };
    const float infinity = std::numeric_limits<float>::infinity();
    const auto fails = [](const auto& spoilt, const std::string& message) {
        CHECK_THROWS_WITH_AS(spoilt.generate({"owl"}), doctest::Contains(message.c_str()),
                             NumericError);
    };
    auto made = tiny_model::pipeline<E>();
    spoil(made.text_encoder, "text_model.final_layer_norm.weight", std::nanf(""));
    fails(made, "text encoder: ");
    made = tiny_model::pipeline<E>();
    spoil(made.prior.transformer, "norm_out.weight", infinity);
    fails(made, "prior, step 1 of 3: ");
    for (const char* statistic : {"clip_std", "clip_mean"}) {  // after the last step
        made = tiny_model::pipeline<E>();
        spoil(made.prior.transformer, statistic, std::nanf(""));
        fails(made, "prior: 1 of 12 values ");
    }
    for (const char* parameter : {"embedding_proj.weight", "encoder_hidden_states_proj.bias"}) {
        made = tiny_model::pipeline<E>();
        spoil(made.decoder.text_projection, parameter, std::nanf(""));
        fails(made, "text_proj: ");
    }
    made = tiny_model::pipeline<E>();
    spoil(made.decoder.unet, "conv_out.bias", -infinity);
    fails(made, "decoder, step 1 of 4: ");
    made = tiny_model::pipeline<E>();
    UNet<E> last = tiny_model::upsampler_last<E>();
    spoil(last, "conv_in.weight", std::nanf(""));
    made.upsampler.last = std::move(last);
    fails(made, "super-resolution, step 2 of 2: ");
}

TEST_CASE("a constant pipeline serves several threads at once") {
    const Array expected = pipeline().generate({"a red owl"}, {.seed = 5, .threads = 1}).pictures;
    for (const int each : {1, 2}) {  // threads of a call
        std::vector<Array> found(3);
        {
            std::vector<std::jthread> threads;
            for (Array& result : found)
                threads.emplace_back([&] {
                    result =
                        pipeline().generate({"a red owl"}, {.seed = 5, .threads = each}).pictures;
                });
        }
        for (const Array& result : found) CHECK(result == expected);
    }
}

TEST_CASE("the prompt matters at every guidance, and so does the guidance") {
    const auto picture = [](const std::string& prompt, double prior, double decoder) {
        return pipeline()
            .generate({prompt}, {.prior_guidance_scale = prior, .decoder_guidance_scale = decoder})
            .pictures;
    };
    CHECK(largest_difference(picture("owl", 4, 8), picture("red", 4, 8)) > 1e-2);
    CHECK(largest_difference(picture("owl", 1, 1), picture("red", 1, 1)) > 1e-2);
    CHECK(largest_difference(picture("owl", 4, 8), picture("owl", 1, 8)) > 1e-2);
    CHECK(largest_difference(picture("owl", 4, 8), picture("owl", 4, 1)) > 1e-2);
    // Without a condition, guidance of the prior has nowhere to go.
    const auto embedding = [](double scale) {
        return pipeline().generate({""}, {.prior_guidance_scale = scale}).image_embedding;
    };
    CHECK(largest_difference(embedding(4), embedding(1)) < 1e-4);
}

TEST_CASE("padding may be left away") {
    for (const double guidance : {1.0, 4.0})
        for (const std::vector<std::string>& prompts :
             {std::vector<std::string>{"a red owl"}, {"owl", "a red red owl"}}) {
            const GenerateOptions trimmed = {
                .seed = 2, .prior_guidance_scale = guidance, .decoder_guidance_scale = guidance};
            GenerateOptions padded = trimmed;
            padded.padding = Padding::keep;
            const Generation a = pipeline().generate(prompts, trimmed),
                             b = pipeline().generate(prompts, padded);
            CHECK(largest_difference(a.image_embedding, b.image_embedding) < 2e-4);
            CHECK(largest_difference(a.pictures, b.pictures) < 2e-3);
        }
    const auto tokens = [](Padding padding) {
        return token_batch(pipeline().tokenizer, {"owl", ""}, padding);
    };
    CHECK(tokens(Padding::trim).tokens == 3);
    CHECK(tokens(Padding::keep).tokens == tiny_model::tokens);
}

TEST_CASE("the parts by hand make what the pipeline makes") {
    const auto& [tokenizer, text_encoder, prior, decoder, upsampler, defaults] = pipeline();
    const EncodedText text = encode_text(text_encoder, token_batch(tokenizer, {"a red owl"}));
    const EncodedText nothing = encode_text(text_encoder, token_batch(tokenizer, {""}));
    TorchGenerator generator(9);
    const Array embedding =
        prior.sample(text, nothing, generator, {.steps = 3, .guidance_scale = 4});
    const Array small =
        decoder.sample(embedding, text, nothing, generator, {.steps = 4, .guidance_scale = 8});
    const Array large = upsampler.sample(small, generator, {.steps = 2});
    const Generation made = pipeline().generate({"a red owl"}, {.seed = 9});
    CHECK(made.image_embedding == embedding);
    CHECK(made.small_pictures == small);
    CHECK(made.pictures == large);
}

TEST_CASE("progress is told per call, each stage from its start to its end") {
    std::vector<std::string> told;
    const Array picture =
        pipeline()
            .generate({"owl"}, {.prior_steps = 2,
                                .decoder_steps = 1,
                                .super_resolution_steps = 2,
                                .progress =
                                    [&](const GenerateProgress& p) {
                                        told.push_back(to_string(p.stage) + " " +
                                                       std::to_string(p.step) + "/" +
                                                       std::to_string(p.steps) + " " +
                                                       to_string(shape_of(p.sample)));
                                    }})
            .pictures;
    CHECK(told == std::vector<std::string>{
                      "prior 0/2 [1, 12]", "prior 1/2 [1, 12]", "prior 2/2 [1, 12]",
                      "decoder 0/1 [1, 8, 8, 3]", "decoder 1/1 [1, 8, 8, 3]",
                      "super-resolution 0/2 [1, 16, 16, 3]", "super-resolution 1/2 [1, 16, 16, 3]",
                      "super-resolution 2/2 [1, 16, 16, 3]"});
}

TEST_CASE("a call stops before its next step when asked to") {
    std::stop_source source;
    int steps = 0;
    const auto progress = [&](const GenerateProgress& p) {
        ++steps;
        if (p.stage == Stage::decoder && p.step == 2) source.request_stop();
    };
    CHECK_THROWS_AS(pipeline()("owl", {.progress = progress, .stop = source.get_token()}),
                    Cancelled);
    CHECK(steps == 4 + 3);
}

TEST_CASE("a call stops in the middle of a step when another thread asks it to") {
    std::stop_source source;
    std::atomic<bool> began = false;
    std::atomic<int> steps = 0;
    // So many steps that they end only if the stop is heard.
    const GenerateOptions options = {.prior_steps = 1000,
                                     .decoder_steps = 1000,
                                     .super_resolution_steps = 1000,
                                     .threads = 1,
                                     .progress =
                                         [&](const GenerateProgress&) {
                                             ++steps;
                                             began = true;
                                         },
                                     .stop = source.get_token()};
    const std::jthread other([&] {
        while (!began) std::this_thread::yield();
        source.request_stop();
    });
    CHECK_THROWS_AS(pipeline().generate({"owl"}, options), Cancelled);
    CHECK(steps < 3000);
    // The pipeline is as good as before.
    CHECK(pipeline()("owl", {.seed = 1}).rgb == pipeline()("owl", {.seed = 1}).rgb);
}

TEST_CASE("each of several calls at once tells its own progress") {
    std::array<std::vector<std::int64_t>, 3> told;
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < told.size(); ++i)
            threads.emplace_back([&, i] {
                const auto steps = static_cast<std::int64_t>(i + 1);
                const auto progress = [&](const GenerateProgress& p) {
                    if (p.stage == Stage::prior) told[i].push_back(p.steps);
                };
                pipeline().generate({"owl"},
                                    {.prior_steps = steps, .threads = 1, .progress = progress});
            });
    }
    for (std::size_t i = 0; i < told.size(); ++i)
        CHECK(told[i] == std::vector<std::int64_t>(i + 2, static_cast<std::int64_t>(i + 1)));
}

TEST_CASE("options out of their range are errors before any work") {
    int steps = 0;
    const auto check = [&](GenerateOptions options) {
        options.progress = [&](const GenerateProgress&) { ++steps; };
        CHECK_THROWS_AS(pipeline()("owl", options), ConfigError);
    };
    for (const std::int64_t count : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1001}}) {
        check({.prior_steps = count});
        check({.decoder_steps = count});
        check({.super_resolution_steps = count});
    }
    for (const double scale : {std::numeric_limits<double>::quiet_NaN(), HUGE_VAL}) {
        check({.prior_guidance_scale = scale});
        check({.decoder_guidance_scale = scale});
    }
    check({.threads = -1});
    check({.threads = 100000});
    CHECK_THROWS_AS(pipeline().generate({}), ConfigError);
    CHECK(steps == 0);
}

TEST_CASE("prompts of any kind are pictures") {
    for (const std::string& prompt :
         {std::string(), std::string(100000, 'x'), std::string("\xff\xfe\x01 owl")})
        CHECK(
            pipeline()(prompt, {.prior_steps = 1, .decoder_steps = 1, .super_resolution_steps = 1})
                .width == 16);
}

TEST_CASE("a DDIM pipeline without noise depends on its start alone") {
    const auto ddim = tiny_model::pipeline<E, DdimSampler>();
    const Array picture = ddim.generate({"owl"}, {.seed = 1}).pictures;
    CHECK(ddim.generate({"owl"}, {.seed = 1}).pictures == picture);
    CHECK(largest_difference(pipeline().generate({"owl"}, {.seed = 1}).pictures, picture) > 1e-2);
}

namespace {

// A part of one's own: a prior that believes that a picture's embedding is its text's.
struct TextAsImage {
    Array sample(const EncodedText& text, const EncodedText&, TorchGenerator&,
                 const SamplingOptions&) const {
        return text.text_embedding;
    }
};

static_assert(PriorPart<TextAsImage> && !DecoderPart<TextAsImage>);
static_assert(!PriorPart<Upsampler<E>> && !UpsamplerPart<DiffusionPrior<E>>);
static_assert(!TokenizerPart<ClipTextEncoder<E>> && !TextEncoderPart<ClipTokenizer>);

}  // namespace

TEST_CASE("another part in one slot is another type of pipeline") {
    const TextToImage mine(pipeline().tokenizer, pipeline().text_encoder, TextAsImage{},
                           pipeline().decoder, pipeline().upsampler, pipeline().defaults);
    const Generation made = mine.generate({"owl"}, {.seed = 1});
    const TokenBatch tokens = token_batch(mine.tokenizer, {"owl"});
    CHECK(made.image_embedding == encode_text(mine.text_encoder, tokens).text_embedding);
    CHECK(made.picture().width == tiny_model::large_size);
}

TEST_CASE("without an upsampler of its own for the last step, the first does all") {
    auto copy = pipeline();
    copy.upsampler.last.reset();
    const Array small = make_array({1, 8, 8, 3}, 0.5f);
    TorchGenerator a(1), b(1), c(1), d(1);
    CHECK(largest_difference(copy.upsampler.sample(small, a),
                             pipeline().upsampler.sample(small, b)) > 1e-3);
    copy.upsampler.last = copy.upsampler.first;
    auto other = pipeline();
    other.upsampler.last.reset();
    CHECK(copy.upsampler.sample(small, c) == other.upsampler.sample(small, d));
}
