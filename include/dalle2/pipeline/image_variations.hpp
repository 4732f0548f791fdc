// Other pictures of what a picture shows: its CLIP embedding takes the place of the prior's, and
// the text is empty (Ramesh et al. 2022, section 3.1; diffusers' UnCLIPImageVariationPipeline).
#pragma once

#include <concepts>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/core/finite.hpp>
#include <dalle2/core/random.hpp>
#include <dalle2/core/stop_scope.hpp>
#include <dalle2/core/thread_scope.hpp>
#include <dalle2/pipeline/on_demand.hpp>
#include <dalle2/pipeline/stages.hpp>

namespace dalle2 {

// Pictures become image embeddings, [batch, embedding]; found by its arguments, as encode_text.
template <class T>
concept PictureEncoderPart =
    requires(const T picture_encoder, const std::vector<Picture> pictures) {
        { encode_pictures(picture_encoder, pictures) } -> std::same_as<Array>;
    };

// picture → image embedding → small picture → picture. A constant pipeline may be used from several
// threads at once.
template <TokenizerPart Tokenizer, TextEncoderPart TextEncoder, PictureEncoderPart PictureEncoder,
          DecoderPart ImageDecoder, UpsamplerPart ImageUpsampler>
struct ImageVariations {
    Tokenizer tokenizer;
    TextEncoder text_encoder;
    PictureEncoder picture_encoder;
    ImageDecoder decoder;
    ImageUpsampler upsampler;
    GenerationDefaults defaults;

    ImageVariations(Tokenizer tokenizer_part, TextEncoder text_encoder_part,
                    PictureEncoder picture_encoder_part, ImageDecoder decoder_part,
                    ImageUpsampler upsampler_part,
                    const GenerationDefaults& generation_defaults = {})
        : tokenizer(std::move(tokenizer_part)),
          text_encoder(std::move(text_encoder_part)),
          picture_encoder(std::move(picture_encoder_part)),
          decoder(std::move(decoder_part)),
          upsampler(std::move(upsampler_part)),
          defaults(generation_defaults) {}

    // A picture of what `picture` shows. The options of the prior are not looked at. Throws
    // ConfigError for options out of their range, Cancelled when a stop was requested.
    Picture operator()(const Picture& picture, const GenerateOptions& options = {}) const {
        return generate({picture}, options).picture();
    }

    // One variation of each picture, from one stream of random numbers.
    Generation generate(const std::vector<Picture>& pictures,
                        const GenerateOptions& options = {}) const {
        if (pictures.empty()) throw ConfigError("no pictures to vary; expected at least one");
        return generate_from([&] { return encode_pictures(picture_encoder, pictures); }, options);
    }

    // One picture of each embedding [batch, embedding], wherever it comes from: a mean of two
    // pictures' embeddings, for example. Throws NumericError for one that is not finite.
    Generation generate(const Array& image_embedding, const GenerateOptions& options = {}) const {
        check_finite(image_embedding, "image embedding",
                     "It was given to the pipeline so: look at what made it");
        return generate_from([&] { return image_embedding; }, options);
    }

private:
    template <class Embed>
    Generation generate_from(const Embed& embed, const GenerateOptions& options) const {
        const StageOptions stages(options, defaults);
        const ThreadScope threads(options.threads);
        const StopScope stopping(options.stop);
        const BufferPool pool;  // of all stages, one after the other
        const BufferPool::Scope scope(pool);
        TorchGenerator generator(options.seed, options.noise);
        Generation made;
        made.image_embedding = embed();
        const EncodedText unconditional =
            encode_text(text_encoder, token_batch(tokenizer, {""}, options.padding));
        made.text = repeated(unconditional, shape_of(made.image_embedding).at(0));
        draw_pictures(made, decoder, upsampler, unconditional, generator, stages);
        return made;
    }
};

}  // namespace dalle2
