// The third stage: a diffusion that draws the picture again, larger, beside an enlarged copy of
// the small one (Ramesh et al. 2022, section 2.1, last paragraph).
#pragma once

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include <dalle2/decoder/unet.hpp>
#include <dalle2/decoder/unet_times.hpp>
#include <dalle2/diffusion/unclip_sampler.hpp>
#include <dalle2/pipeline/resize.hpp>
#include <dalle2/pipeline/sampling.hpp>

namespace dalle2 {

template <Engine E, Sampler S = UnClipSampler>
struct Upsampler {
    UNet<E> first;                // for all steps but the last
    std::optional<UNet<E>> last;  // for the last step; without it, `first` does that too
    S sampler;

    Upsampler(UNet<E> first_part, std::optional<UNet<E>> last_part, S sampler_part)
        : first(std::move(first_part)),
          last(std::move(last_part)),
          sampler(std::move(sampler_part)) {}

    // pictures [batch, h, w, 3], values -1 to 1 → [batch, size, size, 3], values about -1 to 1.
    Array sample(const Array& pictures, TorchGenerator& generator,
                 const SamplingOptions& options = {.steps = 7}) const {
        check_sampling_options(options, "super-resolution");
        const ProfileRegion region("super_res");
        if (options.guidance_scale != 1.0)
            throw ConfigError("super-resolution: the guidance scale is " +
                              std::to_string(options.guidance_scale) +
                              "; expected 1, because there is no text to be guided by");
        const BufferPool pool;
        const BufferPool::Scope scope(pool);
        const auto enlarged = E::from_array(enlarge(pictures));

        const auto draw = [&, batch = shape_of(pictures)[0]] {
            const std::int64_t size = first.config.sample_size;
            return normal_pictures(generator, {batch, size, size, first.config.in_channels / 2});
        };
        std::vector<std::int64_t> timesteps = sampler.timesteps(options.steps), last_timestep;
        if (last) {
            last_timestep = {timesteps.back()};
            timesteps.pop_back();
        }
        const auto first_steps = static_cast<std::int64_t>(timesteps.size());
        const std::int64_t batch = shape_of(pictures)[0];
        UNetTimes<E> times(first, timesteps, batch);
        UNetTimes<E> last_times(last ? *last : first, last_timestep, batch);
        return detail::run_diffusion(
            sampler, draw(), options,
            [&](const Array& x, const DenoisingStep& step) {
                const bool is_first = step.index < first_steps;
                const ProfileRegion network(is_first ? "super_res_first" : "super_res_last");
                const auto input = E::concatenate({E::from_array(x), enlarged}, -1);
                return E::to_array(is_first ? first(input, times.at(step.index))
                                            : (*last)(input, last_times.at(0)));
            },
            draw);
    }

    // What the network sees of the small pictures: clamped to ±1, then resized.
    Array enlarge(Array pictures) const {
        for (float& value : pictures) value = std::clamp(value, -1.0f, 1.0f);
        return resize_bicubic(pictures, first.config.sample_size, first.config.sample_size);
    }
};

}  // namespace dalle2
