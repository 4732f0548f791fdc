// What a sampler is: the rule that takes a noisy sample one step back, given what the network
// predicts. It knows the schedule; it knows no network, no text and no random generator.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/diffusion/noise_schedule.hpp>

namespace dalle2 {

// One call of the network, and what the sampler does after it: from `timestep` back to
// `previous_timestep` (-1: to the clean sample). All spans have as many elements as the sample, in
// the same order, or are empty.
struct SamplerStep {
    std::int64_t timestep = 0;
    std::int64_t previous_timestep = -1;
    std::span<const float> sample;             // x_t
    std::span<const float> prediction;         // what the schedule's prediction_type says
    std::span<const float> variance_fraction;  // the network's second half, where it has one
    std::span<const float> noise;              // may be empty where draws_noise is false
};

// A sampler may remember the steps before: a run is made with a copy of its own.
template <class S>
concept Sampler = std::constructible_from<S, NoiseSchedule> &&
                  requires(S sampler, const S& constant, const SamplerStep& step,
                           std::span<float> previous, std::int64_t n) {
                      { constant.schedule() } -> std::same_as<const NoiseSchedule&>;
                      // The timesteps at which a run of n steps asks the network, descending; twice
                      // the same where a step asks twice.
                      { constant.timesteps(n) } -> std::same_as<std::vector<std::int64_t>>;
                      // Whether the step from the first timestep to the second needs noise.
                      { constant.draws_noise(n, n) } -> std::same_as<bool>;
                      // Writes x_previous, which may be the memory of step.sample.
                      { sampler.step(step, previous) } -> std::same_as<void>;
                  };

// The timesteps of an unCLIP run: i·(T-1)/(count-1), rounded half to even, descending; a single
// step starts at T-1. Throws ConfigError unless 1 <= count <= T.
inline std::vector<std::int64_t> evenly_spaced_timesteps(std::int64_t train_timesteps,
                                                         std::int64_t count) {
    if (count < 1 || count > train_timesteps)
        throw ConfigError(std::to_string(count) + " sampling steps; expected 1 to " +
                          std::to_string(train_timesteps) +
                          ", as many as the model was trained on");
    if (count == 1) return {train_timesteps - 1};
    const double stride = static_cast<double>(train_timesteps - 1) / static_cast<double>(count - 1);
    std::vector<std::int64_t> timesteps;
    for (std::int64_t i = count; i-- > 0;)
        timesteps.push_back(std::llrint(static_cast<double>(i) * stride));
    return timesteps;
}

// Where a run of few steps looks: at timesteps as far from one another as can be, or at log
// signal-to-noise ratios, as DPM-Solver's paper recommends.
enum class TimestepSpacing { even, log_snr };

// Both begin at T-1 and end at 0. Throws ConfigError unless 1 <= count <= T.
inline std::vector<std::int64_t> spaced_timesteps(const NoiseSchedule& schedule, std::int64_t count,
                                                  TimestepSpacing spacing) {
    std::vector<std::int64_t> timesteps = evenly_spaced_timesteps(schedule.size(), count);
    if (spacing == TimestepSpacing::even || count < 3) return timesteps;
    const auto at = [&](std::int64_t t) { return log_snr(schedule.signal_and_noise(t)); };
    const double noisiest = at(schedule.size() - 1), cleanest = at(0);
    for (std::int64_t i = 1; i + 1 < count; ++i) {
        const double wanted = noisiest + (cleanest - noisiest) * static_cast<double>(i) /
                                             static_cast<double>(count - 1);
        // No two alike, and as many left below as there are steps to come.
        std::int64_t t = timesteps[static_cast<std::size_t>(i - 1)] - 1;
        while (t > count - 1 - i && std::abs(at(t - 1) - wanted) < std::abs(at(t) - wanted)) --t;
        timesteps[static_cast<std::size_t>(i)] = t;
    }
    return timesteps;
}

namespace detail {

inline void check_step(const SamplerStep& step, std::size_t count, bool needs_noise,
                       bool needs_variance) {
    const auto check = [count](std::size_t found, bool required, const char* what) {
        if (found != count && (required || found != 0))
            throw ShapeError(std::string("sampler: the ") + what + " has " + std::to_string(found) +
                             " elements; expected " + std::to_string(count));
    };
    check(step.sample.size(), true, "sample");
    check(step.prediction.size(), true, "prediction");
    check(step.variance_fraction.size(), needs_variance, "variance fraction");
    check(step.noise.size(), needs_noise, "noise");
}

}  // namespace detail

}  // namespace dalle2
