// Denoising diffusion implicit models (Song, Meng and Ermon 2021): from the same network, with as
// much or as little noise per step as one likes.
#pragma once

#include <utility>

#include <dalle2/diffusion/prediction.hpp>
#include <dalle2/diffusion/sampler.hpp>

namespace dalle2 {

struct DdimOptions {
    // The share of the ancestral sampler's noise: 0 makes the run deterministic, 1 is DDPM.
    double eta = 0.0;
    // Where x_0 was clipped, take the noise that agrees with the clipped x_0 instead of the one
    // that the network predicted.
    bool noise_from_clipped_sample = true;
};

// A network's learned variance has no place in these formulas (DDIM sets its own), so
// `variance_fraction` is not read.
class DdimSampler {
public:
    explicit DdimSampler(NoiseSchedule schedule, DdimOptions options = {})
        : schedule_(std::move(schedule)), options_(options) {
        if (!(options_.eta >= 0.0 && options_.eta <= 1.0))
            throw ConfigError("DDIM's eta is " + std::to_string(options_.eta) +
                              "; expected 0 to 1");
    }

    const NoiseSchedule& schedule() const { return schedule_; }

    std::vector<std::int64_t> timesteps(std::int64_t count) const {
        return evenly_spaced_timesteps(schedule_.size(), count);
    }

    bool draws_noise(std::int64_t, std::int64_t previous_timestep) const {
        return options_.eta > 0.0 && previous_timestep >= 0;
    }

    // Formula (12). With eta 0, `previous_timestep` may also lie after `timestep`: a step of the
    // inversion, from a picture to the noise that it comes from. Throws ShapeError when a span
    // that the step needs is absent or of another size.
    void step(const SamplerStep& step, std::span<float> previous) const {
        const NoiseScheduleConfig& config = schedule_.config;
        const bool noisy = draws_noise(step.timestep, step.previous_timestep);
        detail::check_step(step, previous.size(), noisy, false);
        if (noisy && step.previous_timestep >= step.timestep)
            throw ConfigError("DDIM: a step from timestep " + std::to_string(step.timestep) +
                              " on to " + std::to_string(step.previous_timestep) + " with eta " +
                              std::to_string(options_.eta) + "; inversion expects eta 0");

        const SignalAndNoise from = schedule_.signal_and_noise(step.timestep);
        const SignalAndNoise to = schedule_.signal_and_noise(step.previous_timestep);
        const CleanSample clean_sample(schedule_, step.timestep);
        const PredictionWeights predicted_noise = noise_weights(config.prediction_type, from);
        const double deviation =
            noisy
                ? options_.eta *
                      std::sqrt(schedule_.posterior(step.timestep, step.previous_timestep).variance)
                : 0.0;
        const double direction =
            std::sqrt(std::max(to.noise * to.noise - deviation * deviation, 0.0));
        for (std::size_t i = 0; i < previous.size(); ++i) {
            const double sample = step.sample[i], prediction = step.prediction[i];
            const double clean = clean_sample(sample, prediction);
            double noise = predicted_noise(sample, prediction);
            if (config.clip_sample && options_.noise_from_clipped_sample)
                noise = (sample - from.signal * clean) / from.noise;
            const double fresh = noisy ? deviation * step.noise[i] : 0.0;
            previous[i] = static_cast<float>(to.signal * clean + direction * noise + fresh);
        }
    }

private:
    NoiseSchedule schedule_;
    DdimOptions options_;
};

static_assert(Sampler<DdimSampler>);

}  // namespace dalle2
