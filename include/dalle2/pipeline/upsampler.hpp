// The third stage: a diffusion that draws the picture again, larger, beside an enlarged copy of
// the small one (Ramesh et al. 2022, section 2.1, last paragraph).
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <dalle2/decoder/unet.hpp>
#include <dalle2/decoder/unet_times.hpp>
#include <dalle2/diffusion/unclip_sampler.hpp>
#include <dalle2/pipeline/on_demand.hpp>
#include <dalle2/pipeline/resize.hpp>
#include <dalle2/pipeline/sampling.hpp>

namespace dalle2 {

template <Engine E, Sampler S = UnClipSampler>
struct Upsampler {
    OnDemand<UNet<E>> first;                // for all steps but the last
    std::optional<OnDemand<UNet<E>>> last;  // for the last step; without it, `first` does that too
    S sampler;

    Upsampler(OnDemand<UNet<E>> first_part, std::optional<OnDemand<UNet<E>>> last_part,
              S sampler_part)
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
        std::shared_ptr<const UNet<E>> unet = first.get();
        const std::int64_t size = unet->config.sample_size;
        const auto enlarged = E::from_array(enlarge(pictures, size));

        const auto draw = [&generator, shape = Shape{shape_of(pictures)[0], size, size,
                                                     unet->config.in_channels / 2}] {
            return normal_pictures(generator, shape);
        };
        std::vector<std::int64_t> timesteps = sampler.timesteps(options.steps), last_timestep;
        if (last) {
            last_timestep = {timesteps.back()};
            timesteps.pop_back();
        }
        const auto first_steps = static_cast<std::int64_t>(timesteps.size());
        const std::int64_t batch = shape_of(pictures)[0];
        std::optional<UNetTimes<E>> times;
        if (first_steps > 0) times.emplace(*unet, timesteps, batch);
        bool in_last_step = false;
        return detail::run_diffusion(
            "super-resolution", sampler, draw(), options,
            [&](const Array& x, const DenoisingStep& step) {
                if (last && step.index == first_steps && !in_last_step) {
                    in_last_step = true;
                    times.reset();
                    unet = nullptr;  // first, so that only one of the two is in memory
                    unet = last->get();
                    times.emplace(*unet, last_timestep, batch);
                }
                const ProfileRegion network(in_last_step ? "super_res_last" : "super_res_first");
                const auto input = E::concatenate({E::from_array(x), enlarged}, -1);
                return E::to_array((*unet)(input, times->at(in_last_step ? 0 : step.index)));
            },
            draw);
    }

    // What the network sees of the small pictures: clamped to ±1, then resized.
    Array enlarge(const Array& pictures) const {
        return enlarge(pictures, first.get()->config.sample_size);
    }

private:
    static Array enlarge(Array pictures, std::int64_t size) {
        for (float& value : pictures) value = std::clamp(value, -1.0f, 1.0f);
        return resize_bicubic(pictures, size, size);
    }
};

}  // namespace dalle2
