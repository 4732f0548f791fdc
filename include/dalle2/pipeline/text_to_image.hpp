// The pipeline as a type: five slots, each guarded by a concept, so that another prior or decoder
// is another template argument, and a wrong one is one readable error.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/core/random.hpp>
#include <dalle2/core/stop_scope.hpp>
#include <dalle2/core/thread_scope.hpp>
#include <dalle2/pipeline/diffusion_prior.hpp>
#include <dalle2/pipeline/encoded_text.hpp>
#include <dalle2/pipeline/generate_options.hpp>
#include <dalle2/pipeline/on_demand.hpp>
#include <dalle2/pipeline/stages.hpp>

namespace dalle2 {

// A text becomes an image embedding, [batch, embedding].
template <class T>
concept PriorPart = requires(const T prior, const EncodedText text, TorchGenerator& generator,
                             const SamplingOptions options) {
    { prior.sample(text, text, generator, options) } -> std::same_as<Array>;
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
        const StageOptions stages(options, defaults);
        const ThreadScope threads(options.threads);
        const StopScope stopping(options.stop);
        const BufferPool pool;  // of all stages, one after the other
        const BufferPool::Scope scope(pool);
        TorchGenerator generator(options.seed, options.noise);
        const auto [text, unconditional] = encode(prompts, options);
        Generation made;
        made.text = text;
        made.image_embedding = prior.sample(text, unconditional, generator, stages.prior);
        draw_pictures(made, decoder, upsampler, unconditional, generator, stages);
        return made;
    }

private:
    // The prompts, and the empty one that guidance compares them with.
    std::pair<EncodedText, EncodedText> encode(const std::vector<std::string>& prompts,
                                               const GenerateOptions& options) const {
        const auto encoder = in_use(text_encoder);
        const auto encoded = [&](const std::vector<std::string>& texts) {
            return encode_text(*encoder, token_batch(tokenizer, texts, options.padding));
        };
        return {encoded(prompts), encoded({""})};
    }
};

}  // namespace dalle2
