// The pipeline as a type: five slots, each guarded by a concept, so that another prior or decoder
// is another template argument, and a wrong one is one readable error.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/random.hpp>
#include <dalle2/core/stop_scope.hpp>
#include <dalle2/core/thread_scope.hpp>
#include <dalle2/io/picture.hpp>
#include <dalle2/pipeline/decoder.hpp>
#include <dalle2/pipeline/diffusion_prior.hpp>
#include <dalle2/pipeline/encoded_text.hpp>
#include <dalle2/pipeline/generate_options.hpp>
#include <dalle2/pipeline/on_demand.hpp>
#include <dalle2/pipeline/upsampler.hpp>

namespace dalle2 {

// A prompt becomes tokens.
template <class T>
concept TokenizerPart = requires(const T tokenizer, const std::string prompt) {
    { tokenizer(prompt) } -> std::same_as<Tokens>;
};

// Tokens become CLIP's view of the text; found by its arguments, as for ClipTextEncoder.
template <class T>
concept TextEncoderPart = requires(const T text_encoder, const TokenBatch tokens) {
    { encode_text(text_encoder, tokens) } -> std::same_as<EncodedText>;
};

// A text becomes an image embedding, [batch, embedding].
template <class T>
concept PriorPart = requires(const T prior, const EncodedText text, TorchGenerator& generator,
                             const SamplingOptions options) {
    { prior.sample(text, text, generator, options) } -> std::same_as<Array>;
};

// An image embedding and the text become a small picture, [batch, height, width, 3] in -1 to 1.
template <class T>
concept DecoderPart = requires(const T decoder, const Array embedding, const EncodedText text,
                               TorchGenerator& generator, const SamplingOptions options) {
    { decoder.sample(embedding, text, text, generator, options) } -> std::same_as<Array>;
};

// A small picture becomes a large one, values about -1 to 1.
template <class T>
concept UpsamplerPart = requires(const T upsampler, const Array picture, TorchGenerator& generator,
                                 const SamplingOptions options) {
    { upsampler.sample(picture, generator, options) } -> std::same_as<Array>;
};

// Everything that a call of a pipeline has made.
struct Generation {
    Array image_embedding;  // [batch, embedding], the prior's
    Array small_pictures;   // [batch, height, width, 3], the decoder's, -1 to 1
    Array pictures;         // [batch, height, width, 3], the upsampler's, about -1 to 1

    // One of them as 8-bit RGB.
    Picture picture(std::int64_t index = 0) const { return picture_from_array(pictures, index); }
};

// prompt → tokens → text embedding → image embedding → small picture → picture. A constant
// pipeline may be used from several threads at once.
template <TokenizerPart Tokenizer, TextEncoderPart TextEncoder, PriorPart Prior,
          DecoderPart ImageDecoder, UpsamplerPart ImageUpsampler>
struct TextToImage {
    Tokenizer tokenizer;
    TextEncoder text_encoder;
    Prior prior;
    ImageDecoder decoder;
    ImageUpsampler upsampler;
    GenerationDefaults defaults;

    TextToImage(Tokenizer tokenizer_part, TextEncoder text_encoder_part, Prior prior_part,
                ImageDecoder decoder_part, ImageUpsampler upsampler_part,
                const GenerationDefaults& generation_defaults = {})
        : tokenizer(std::move(tokenizer_part)),
          text_encoder(std::move(text_encoder_part)),
          prior(std::move(prior_part)),
          decoder(std::move(decoder_part)),
          upsampler(std::move(upsampler_part)),
          defaults(generation_defaults) {}

    // A picture of the prompt, which may be empty. Throws ConfigError for options out of their
    // range, Cancelled when a stop was requested.
    Picture operator()(const std::string& prompt, const GenerateOptions& options = {}) const {
        return generate({prompt}, options).picture();
    }

    // One picture for each prompt, from one stream of random numbers, as the public pipelines do
    // it. So a prompt alone and the same prompt among others make different pictures.
    Generation generate(const std::vector<std::string>& prompts,
                        const GenerateOptions& options = {}) const {
        if (prompts.empty())
            throw ConfigError("no prompts; expected at least one, which may be empty");
        const SamplingOptions prior_options = stage_options(
            Stage::prior, options.prior_steps.value_or(defaults.prior_steps),
            options.prior_guidance_scale.value_or(defaults.prior_guidance_scale), options);
        const SamplingOptions decoder_options = stage_options(
            Stage::decoder, options.decoder_steps.value_or(defaults.decoder_steps),
            options.decoder_guidance_scale.value_or(defaults.decoder_guidance_scale), options);
        const SamplingOptions upsampler_options = stage_options(
            Stage::super_resolution,
            options.super_resolution_steps.value_or(defaults.super_resolution_steps), 1.0, options);

        const ThreadScope threads(options.threads);
        TorchGenerator generator(options.seed);
        const StopScope stopping(options.stop);
        const auto [text, unconditional] = encode(prompts, options);
        Generation made;
        made.image_embedding = prior.sample(text, unconditional, generator, prior_options);
        made.small_pictures =
            decoder.sample(made.image_embedding, text, unconditional, generator, decoder_options);
        made.pictures = upsampler.sample(made.small_pictures, generator, upsampler_options);
        return made;
    }

private:
    // The prompts, and the empty one that guidance compares them with.
    std::pair<EncodedText, EncodedText> encode(const std::vector<std::string>& prompts,
                                               const GenerateOptions& options) const {
        const BufferPool pool;
        const BufferPool::Scope scope(pool);
        const auto encoder = in_use(text_encoder);
        const auto encoded = [&](const std::vector<std::string>& texts) {
            return encode_text(*encoder, token_batch(tokenizer, texts, options.padding));
        };
        return {encoded(prompts), encoded({""})};
    }

    // Checked here, so that a mistake in the last stage is told before the first begins.
    static SamplingOptions stage_options(Stage stage, std::int64_t steps, double guidance_scale,
                                         const GenerateOptions& options) {
        SamplingOptions result = {
            .steps = steps, .guidance_scale = guidance_scale, .stop = options.stop};
        check_sampling_options(result, to_string(stage));
        if (options.progress)
            result.on_step = [&options, stage](std::int64_t step, std::int64_t count,
                                               const Array& sample) {
                options.progress({stage, step, count, sample});
            };
        return result;
    }
};

}  // namespace dalle2
