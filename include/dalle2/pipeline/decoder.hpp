// The second stage: from a CLIP image embedding and the text to a small picture
// (Ramesh et al. 2022, section 2.1).
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include <dalle2/core/finite.hpp>
#include <dalle2/decoder/text_projection.hpp>
#include <dalle2/decoder/unet.hpp>
#include <dalle2/decoder/unet_times.hpp>
#include <dalle2/diffusion/unclip_sampler.hpp>
#include <dalle2/pipeline/encoded_text.hpp>
#include <dalle2/pipeline/sampling.hpp>

namespace dalle2 {

template <Engine E, Sampler S = UnClipSampler>
struct Decoder {
    TextProjection<E> text_projection;
    UNet<E> unet;
    S sampler;

    Decoder(TextProjection<E> text_projection_part, UNet<E> unet_part, S sampler_part)
        : text_projection(std::move(text_projection_part)),
          unet(std::move(unet_part)),
          sampler(std::move(sampler_part)) {}

    // One picture for each embedding [batch, embedding]: [batch, size, size, 3], values -1 to 1.
    // `text` and `unconditional` as for the prior.
    Array sample(const Array& image_embedding, const EncodedText& text,
                 const EncodedText& unconditional, TorchGenerator& generator,
                 const SamplingOptions& options = {.steps = 25, .guidance_scale = 8.0}) const {
        check_sampling_options(options, "decoder");
        const ProfileRegion region("decoder");
        const std::int64_t batch = shape_of(image_embedding).at(0);
        if (text.batch() != batch)
            throw ShapeError("decoder: " + std::to_string(text.batch()) +
                             " texts for image embeddings " + to_string(shape_of(image_embedding)) +
                             "; expected one for each");
        const BufferPool pool;
        const BufferPool::Scope scope(pool);
        const std::int64_t size = unet.config.sample_size;
        const bool guided = options.guidance_scale != 1.0;
        const auto [condition_text, first_rows] =
            guided ? guided_text(unconditional, text) : GuidedText{text};
        const DecoderCondition<E> condition = project(image_embedding, condition_text, guided);
        const PreparedContext<E> context =
            unet.prepare({.tokens = &condition.context, .keep = context_mask(condition_text)}, size,
                         size, first_rows);
        const auto added_time = repeat_first<E>(condition.time, first_rows);
        UNetTimes<E> times(unet, sampler.timesteps(options.steps), guided ? 2 * batch : batch,
                           &added_time);

        const auto draw = [&] {
            return normal_pictures(generator, {batch, size, size, unet.config.in_channels});
        };
        Array picture = detail::run_diffusion(
            "decoder", sampler, draw(), options,
            [&](const Array& x, const DenoisingStep& step) {
                return E::to_array(unet(E::from_array(x), times.at(step.index), context));
            },
            draw);
        for (float& value : picture) value = std::clamp(value, -1.0f, 1.0f);
        return picture;
    }

private:
    // With guidance, a learned embedding takes the place of the picture's in the unconditional
    // half.
    DecoderCondition<E> project(const Array& image_embedding, const EncodedText& text,
                                bool guided) const {
        const ProfileRegion region("text_proj");
        auto image = E::from_array(image_embedding);
        if (guided) {
            const std::int64_t unconditional = text.batch() - shape_of(image_embedding)[0];
            image = E::concatenate(
                {text_projection.unconditional_image_embedding(unconditional), image}, 0);
        }
        DecoderCondition<E> condition = text_projection(image, E::from_array(text.text_embedding),
                                                        E::from_array(text.hidden_states));
        // Once for a picture, so that the UNet is not blamed.
        check_finite(E::to_array(condition.context), "text_proj");
        check_finite(E::to_array(condition.time), "text_proj");
        return condition;
    }

    // The extra tokens, which stand before those of the text, are never padding.
    std::vector<std::int32_t> context_mask(const EncodedText& text) const {
        const auto tokens = static_cast<std::ptrdiff_t>(text.tokens());
        std::vector<std::int32_t> mask;
        for (std::ptrdiff_t row = 0; row < text.batch(); ++row) {
            mask.insert(mask.end(),
                        static_cast<std::size_t>(text_projection.config.clip_extra_context_tokens),
                        1);
            mask.insert(mask.end(), text.keep.begin() + row * tokens,
                        text.keep.begin() + (row + 1) * tokens);
        }
        return mask;
    }
};

}  // namespace dalle2
