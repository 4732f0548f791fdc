// The first stage: from a text to the CLIP embedding of a picture that it describes
// (Ramesh et al. 2022, section 2.2).
#pragma once

#include <utility>
#include <vector>

#include <dalle2/core/finite.hpp>
#include <dalle2/diffusion/unclip_sampler.hpp>
#include <dalle2/pipeline/encoded_text.hpp>
#include <dalle2/pipeline/sampling.hpp>
#include <dalle2/prior/prior_transformer.hpp>

namespace dalle2 {

template <Engine E, Sampler S = UnClipSampler>
struct DiffusionPrior {
    PriorTransformer<E> transformer;
    S sampler;

    // These types have constructors because g++ 12 destroys the parts of an aggregate twice when
    // the making of one of them throws.
    DiffusionPrior(PriorTransformer<E> transformer_part, S sampler_part)
        : transformer(std::move(transformer_part)), sampler(std::move(sampler_part)) {}

    // One image embedding for each text, [batch, embedding]. `unconditional` is the empty prompt
    // (a batch of one, or as many as texts); without guidance it is not looked at.
    Array sample(const EncodedText& text, const EncodedText& unconditional,
                 TorchGenerator& generator,
                 const SamplingOptions& options = {.steps = 25, .guidance_scale = 4.0}) const {
        check_sampling_options(options, "prior");
        const ProfileRegion region("prior");
        const BufferPool pool;
        const BufferPool::Scope scope(pool);
        const bool guided = options.guidance_scale != 1.0;
        const auto [condition, first_rows] =
            guided ? guided_text(unconditional, text) : GuidedText{text};
        const PreparedText<E> prepared =
            transformer.prepare(E::from_array(condition.text_embedding),
                                E::from_array(condition.hidden_states), condition.keep, first_rows);
        const std::vector<std::int64_t> timesteps = sampler.timesteps(options.steps);
        const auto times =
            transformer.prepare(std::vector<double>(timesteps.begin(), timesteps.end()));

        const auto draw = [&, shape = Shape{text.batch(), transformer.config.embedding_dim}] {
            return generator.normal(shape);
        };
        const Array normalised = detail::run_diffusion(
            "prior", sampler, draw(), options,
            [&](const Array& x, const DenoisingStep& step) {
                const auto time =
                    E::repeat(E::slice(times, 0, step.index, step.index + 1), shape_of(x)[0]);
                return E::to_array(transformer(E::from_array(x), time, prepared));
            },
            draw);
        Array embedding = denormalised(normalised);
        check_finite(embedding, "prior");
        return embedding;
    }

    // From the space that the prior works in to that of CLIP: x·σ + μ.
    Array denormalised(const Array& x) const {
        return x * E::store(transformer.clip_std) + E::store(transformer.clip_mean);
    }
};

}  // namespace dalle2
