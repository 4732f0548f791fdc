// What the pipelines have in common: the slots that each of them has, the settings of its stages,
// and the way from an image embedding to a picture.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>

#include <dalle2/core/random.hpp>
#include <dalle2/io/picture.hpp>
#include <dalle2/pipeline/decoder.hpp>
#include <dalle2/pipeline/encoded_text.hpp>
#include <dalle2/pipeline/generate_options.hpp>
#include <dalle2/pipeline/sampling.hpp>
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
    EncodedText text;       // of the prompts
    Array image_embedding;  // [batch, embedding], the prior's or a picture's
    Array small_pictures;   // [batch, height, width, 3], the decoder's, -1 to 1
    Array pictures;         // [batch, height, width, 3], the upsampler's, about -1 to 1

    // One of them as 8-bit RGB.
    Picture picture(std::int64_t index = 0) const { return picture_from_array(pictures, index); }
};

// The options of a call as those of each stage, what is not given being the model's default. Throws
// ConfigError for a mistake in any of them, before the first stage begins. Must not outlive the
// options.
struct StageOptions {
    SamplingOptions prior, decoder, super_resolution;

    StageOptions(const GenerateOptions& options, const GenerationDefaults& defaults)
        : prior(stage(Stage::prior, options.prior_steps.value_or(defaults.prior_steps),
                      options.prior_guidance_scale.value_or(defaults.prior_guidance_scale),
                      options)),
          decoder(stage(Stage::decoder, options.decoder_steps.value_or(defaults.decoder_steps),
                        options.decoder_guidance_scale.value_or(defaults.decoder_guidance_scale),
                        options)),
          super_resolution(
              stage(Stage::super_resolution,
                    options.super_resolution_steps.value_or(defaults.super_resolution_steps), 1.0,
                    options)) {}

private:
    static SamplingOptions stage(Stage stage, std::int64_t steps, double guidance_scale,
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

// From the image embeddings and texts in `made` to its pictures. `unconditional` is the empty
// prompt.
template <DecoderPart ImageDecoder, UpsamplerPart ImageUpsampler>
void draw_pictures(Generation& made, const ImageDecoder& decoder, const ImageUpsampler& upsampler,
                   const EncodedText& unconditional, TorchGenerator& generator,
                   const StageOptions& stages) {
    made.small_pictures =
        decoder.sample(made.image_embedding, made.text, unconditional, generator, stages.decoder);
    made.pictures = upsampler.sample(made.small_pictures, generator, stages.super_resolution);
}

}  // namespace dalle2
