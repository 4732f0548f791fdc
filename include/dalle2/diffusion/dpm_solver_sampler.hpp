// DPM-Solver++ (Lu et al. 2022, "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion
// Probabilistic Models"): the diffusion as a differential equation in the half log-SNR
// λ = log(α/σ), whose linear part is solved exactly, and whose other part, the predicted x_0, is
// followed along a line through its last two values: algorithm 2 (2M), one network call a step.
#pragma once

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

struct DpmSolverOptions {
    // The stochastic differential equation instead of the ordinary one (SDE-DPM-Solver++, appendix
    // A of Lu et al.): each step takes noise away and adds fresh one.
    bool stochastic = false;
    // Nearer to the end of many steps than even timesteps are, from five steps on (benchmarks).
    TimestepSpacing spacing = TimestepSpacing::log_snr;
};

// A network's learned variance has no place in these formulas, so `variance_fraction` is not read.
class DpmSolverSampler {
public:
    explicit DpmSolverSampler(NoiseSchedule schedule, DpmSolverOptions options = {})
        : schedule_(std::move(schedule)), options_(options) {}

    const NoiseSchedule& schedule() const { return schedule_; }

    std::vector<std::int64_t> timesteps(std::int64_t count) const {
        return spaced_timesteps(schedule_, count, options_.spacing);
    }

    bool draws_noise(std::int64_t, std::int64_t previous_timestep) const {
        return options_.stochastic && previous_timestep >= 0;
    }

    // Steps that follow one another are of second order; the first one, and the last one, to the
    // clean sample, are of first order. Throws ShapeError when a span that the step needs is absent
    // or of another size.
    void step(const SamplerStep& step, std::span<float> previous) {
        const bool noisy = draws_noise(step.timestep, step.previous_timestep);
        detail::check_step(step, previous.size(), noisy, false);
        const SignalAndNoise from = schedule_.signal_and_noise(step.timestep);
        const SignalAndNoise to = schedule_.signal_and_noise(step.previous_timestep);
        const CleanSample clean_sample(schedule_, step.timestep);
        const double h = log_snr(to) - log_snr(from);  // infinite in the last step

        // x_0 at the middle of the step, from its values here and one step before: formula (12).
        const bool second_order = step.previous_timestep >= 0 && next_timestep_ == step.timestep &&
                                  last_clean_.size() == previous.size();
        const double slope = second_order ? h / (2.0 * last_h_) : 0.0;
        // Of what x_t holds beyond α·x_0, how much stays: e^-h of it is replaced by fresh noise.
        const double decay = std::exp(options_.stochastic ? -2.0 * h : -h);
        const double of_sample = to.noise / from.noise * (options_.stochastic ? std::exp(-h) : 1.0);
        const double of_clean = to.signal * (1.0 - decay);
        const double of_noise = noisy ? to.noise * std::sqrt(1.0 - decay) : 0.0;

        last_clean_.resize(previous.size());
        for (std::size_t i = 0; i < previous.size(); ++i) {
            const double clean = clean_sample(step.sample[i], step.prediction[i]);
            const double middle = second_order ? clean + slope * (clean - last_clean_[i]) : clean;
            last_clean_[i] = clean;
            previous[i] = static_cast<float>(of_sample * step.sample[i] + of_clean * middle +
                                             (noisy ? of_noise * step.noise[i] : 0.0));
        }
        last_h_ = h;
        next_timestep_ = step.previous_timestep;
    }

private:
    NoiseSchedule schedule_;
    DpmSolverOptions options_;
    // Of the step before, and where it led.
    std::vector<double> last_clean_;
    double last_h_ = 0.0;
    std::int64_t next_timestep_ = -1;
};

static_assert(Sampler<DpmSolverSampler>);

}  // namespace dalle2
