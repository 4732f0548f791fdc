// The ancestral sampler of the public unCLIP pipelines: DDPM's, over any subset of the timesteps.
#pragma once

#include <utility>

#include <dalle2/diffusion/prediction.hpp>
#include <dalle2/diffusion/sampler.hpp>

namespace dalle2 {

class UnClipSampler {
public:
    explicit UnClipSampler(NoiseSchedule schedule) : schedule_(std::move(schedule)) {}

    const NoiseSchedule& schedule() const { return schedule_; }

    std::vector<std::int64_t> timesteps(std::int64_t count) const {
        return evenly_spaced_timesteps(schedule_.size(), count);
    }

    bool draws_noise(std::int64_t, std::int64_t previous_timestep) const {
        return previous_timestep >= 0;
    }

    // x_previous ~ N(posterior mean at the predicted x_0, variance). Throws ShapeError when a span
    // that the step needs is absent or of another size.
    void step(const SamplerStep& step, std::span<float> previous) const {
        const NoiseScheduleConfig& config = schedule_.config;
        const bool noisy = draws_noise(step.timestep, step.previous_timestep);
        const bool learned = noisy && config.variance_type == VarianceType::learned_range;
        detail::check_step(step, previous.size(), noisy, learned);

        const Posterior posterior = schedule_.posterior(step.timestep, step.previous_timestep);
        const CleanSample clean_sample(schedule_, step.timestep);
        double deviation = noisy ? fixed_deviation(posterior) : 0.0;
        for (std::size_t i = 0; i < previous.size(); ++i) {
            const double clean = clean_sample(step.sample[i], step.prediction[i]);
            if (learned)
                deviation =
                    std::exp(0.5 * learned_log_variance(posterior, step.variance_fraction[i]));
            const double noise = noisy ? deviation * step.noise[i] : 0.0;
            previous[i] = static_cast<float>(posterior.clean * clean +
                                             posterior.noisy * step.sample[i] + noise);
        }
    }

private:
    NoiseSchedule schedule_;
};

static_assert(Sampler<UnClipSampler>);

}  // namespace dalle2
