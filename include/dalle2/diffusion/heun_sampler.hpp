// Heun's method on the diffusion's differential equation (Karras et al. 2022, algorithm 1): a step
// of Euler's, then the same step again along the mean of the slopes at its two ends. Two network
// calls a step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/diffusion/noise_schedule.hpp>
#include <dalle2/diffusion/prediction.hpp>
#include <dalle2/diffusion/sampler.hpp>

namespace dalle2 {

struct HeunOptions {
    // The mean of two slopes means nothing over a step in which the noise falls a thousandfold, as
    // it does in the first of a few even ones.
    TimestepSpacing spacing = TimestepSpacing::log_snr;
};

// A learned variance has no place in these formulas, so `variance_fraction` is not read.
class HeunSampler {
public:
    explicit HeunSampler(NoiseSchedule schedule, HeunOptions options = {})
        : schedule_(std::move(schedule)), options_(options) {}

    const NoiseSchedule& schedule() const { return schedule_; }

    // 2·count - 1 of them, because each step but the last, to the clean sample, asks the network
    // twice: at its start, and where Euler's step led to, which is where the next step starts.
    std::vector<std::int64_t> timesteps(std::int64_t count) const {
        std::vector<std::int64_t> twice;
        for (const std::int64_t t : spaced_timesteps(schedule_, count, options_.spacing))
            twice.insert(twice.end(), twice.empty() ? 1 : 2, t);
        return twice;
    }

    bool draws_noise(std::int64_t, std::int64_t) const { return false; }

    // Where both timesteps are the same, the second half of a step. Throws ShapeError when a span
    // that the step needs is absent or of another size, or when the first half was not taken.
    void step(const SamplerStep& step, std::span<float> previous) {
        detail::check_step(step, previous.size(), false, false);
        const SignalAndNoise at = schedule_.signal_and_noise(step.timestep);
        const CleanSample clean_sample(schedule_, step.timestep);
        const double level = noise_level(at);
        const bool correction = step.previous_timestep == step.timestep;
        if (correction && slopes_.size() != previous.size())
            throw ShapeError("Heun: the second half of a step of " +
                             std::to_string(previous.size()) + " elements after a first half of " +
                             std::to_string(slopes_.size()) + "; expected as many");
        const auto slope = [&](std::size_t i) {  // line 4
            return (step.sample[i] / at.signal - clean_sample(step.sample[i], step.prediction[i])) /
                   level;
        };
        if (correction) {  // line 8
            for (std::size_t i = 0; i < previous.size(); ++i)
                previous[i] =
                    static_cast<float>(at.signal * (starts_[i] + (level - start_level_) * 0.5 *
                                                                     (slopes_[i] + slope(i))));
            slopes_.clear();
            return;
        }
        const SignalAndNoise to = schedule_.signal_and_noise(step.previous_timestep);
        starts_.resize(previous.size());
        slopes_.resize(previous.size());
        start_level_ = level;
        for (std::size_t i = 0; i < previous.size(); ++i) {  // line 5
            starts_[i] = step.sample[i] / at.signal;
            slopes_[i] = slope(i);
            previous[i] = static_cast<float>(to.signal *
                                             (starts_[i] + (noise_level(to) - level) * slopes_[i]));
        }
    }

private:
    NoiseSchedule schedule_;
    HeunOptions options_;
    // Of the first half of the step: x/α, σ/α and the slope there.
    std::vector<double> starts_, slopes_;
    double start_level_ = 0.0;
};

static_assert(Sampler<HeunSampler>);

}  // namespace dalle2
