// Euler's method on the diffusion's differential equation, written as Karras et al. 2022
// ("Elucidating the Design Space of Diffusion-Based Generative Models") write it: for x/α, whose
// noise is σ/α.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <dalle2/diffusion/noise_schedule.hpp>
#include <dalle2/diffusion/prediction.hpp>
#include <dalle2/diffusion/sampler.hpp>

namespace dalle2 {

struct EulerOptions {
    // Steps down further than asked for, and adds noise up to there: as much as the true posterior
    // has (Song et al. 2021, the noise of DDPM).
    bool ancestral = false;
    TimestepSpacing spacing = TimestepSpacing::even;
};

// Without noise this is DDIM in other words, because DDIM solves the same equation with the same
// method (Karras et al., table 1); a test holds the two together. A learned variance has no place
// in these formulas, so `variance_fraction` is not read.
class EulerSampler {
public:
    explicit EulerSampler(NoiseSchedule schedule, EulerOptions options = {})
        : schedule_(std::move(schedule)), options_(options) {}

    const NoiseSchedule& schedule() const { return schedule_; }

    std::vector<std::int64_t> timesteps(std::int64_t count) const {
        return spaced_timesteps(schedule_, count, options_.spacing);
    }

    bool draws_noise(std::int64_t, std::int64_t previous_timestep) const {
        return options_.ancestral && previous_timestep >= 0;
    }

    // Throws ShapeError when a span that the step needs is absent or of another size.
    void step(const SamplerStep& step, std::span<float> previous) const {
        const bool noisy = draws_noise(step.timestep, step.previous_timestep);
        detail::check_step(step, previous.size(), noisy, false);
        const SignalAndNoise from = schedule_.signal_and_noise(step.timestep);
        const SignalAndNoise to = schedule_.signal_and_noise(step.previous_timestep);
        const CleanSample clean_sample(schedule_, step.timestep);
        const double level = noise_level(from), next_level = noise_level(to);
        const double ratio = next_level / level;
        const double up = noisy ? next_level * std::sqrt(std::max(1.0 - ratio * ratio, 0.0)) : 0.0;
        const double down = std::sqrt(next_level * next_level - up * up);
        for (std::size_t i = 0; i < previous.size(); ++i) {
            const double x = step.sample[i] / from.signal;
            const double slope = (x - clean_sample(step.sample[i], step.prediction[i])) / level;
            const double next = x + slope * (down - level) + (noisy ? up * step.noise[i] : 0.0);
            previous[i] = static_cast<float>(to.signal * next);
        }
    }

private:
    NoiseSchedule schedule_;
    EulerOptions options_;
};

static_assert(Sampler<EulerSampler>);

}  // namespace dalle2
