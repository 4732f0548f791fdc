// How much of a picture is left at each timestep of the diffusion, and what follows from it: the
// noisy sample, the posterior of one step back, and the variances that a sampler may use
// (Ho et al. 2020, "DDPM"; Nichol and Dhariwal 2021, "improved DDPM").
//
// Notation: ᾱ_t is `alphas_cumprod[t]`; x_t = √ᾱ_t·x_0 + √(1-ᾱ_t)·ε.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <string>
#include <vector>

#include <dalle2/core/error.hpp>

namespace dalle2 {

enum class BetaSchedule {
    linear,             // beta grows linearly from beta_start to beta_end
    squaredcos_cap_v2,  // ᾱ follows a squared cosine; beta at most 0.999
};

// What the network's output means.
enum class PredictionType {
    epsilon,       // the noise
    sample,        // the clean sample x_0
    v_prediction,  // √ᾱ·ε - √(1-ᾱ)·x_0 (Salimans and Ho 2022)
};

// The variance of the noise that an ancestral sampler adds.
enum class VarianceType {
    fixed_small,      // that of the true posterior
    fixed_small_log,  // the same number; the public configs write it so
    learned_range,    // between the posterior's and beta, where the network says
};

// What the tables and coefficients are computed in. The public pipelines use single precision,
// and their last step multiplies the picture by 0.9995 where exact arithmetic multiplies by one.
enum class SchedulePrecision { exact, as_reference };

struct NoiseScheduleConfig {
    std::int64_t num_train_timesteps = 1000;
    BetaSchedule beta_schedule = BetaSchedule::squaredcos_cap_v2;
    double beta_start = 0.0001, beta_end = 0.02;  // of the linear schedule
    PredictionType prediction_type = PredictionType::epsilon;
    VarianceType variance_type = VarianceType::fixed_small_log;
    bool clip_sample = true;  // the predicted x_0 into ±clip_sample_range, while sampling
    double clip_sample_range = 1.0;
};

// x_t = signal·x_0 + noise·ε.
struct SignalAndNoise {
    double signal, noise;
};

// log(α/σ), half the logarithm of the signal-to-noise ratio; infinite for the clean sample.
inline double log_snr(SignalAndNoise at) {
    return at.noise > 0.0 ? std::log(at.signal / at.noise) : HUGE_VAL;
}

// σ/α, the noise of x_t/α: "σ" of Karras et al. 2022.
inline double noise_level(SignalAndNoise at) { return at.noise / at.signal; }

// q(x_prev | x_t, x_0) = N(clean·x_0 + noisy·x_t, variance), DDPM's formula (7); beta is the
// variance of the step forward from x_prev to x_t, the upper end of a learned variance.
struct Posterior {
    double clean, noisy, variance, beta;
};

// The tables of a diffusion. A timestep of -1 means the clean sample, ᾱ = 1.
class NoiseSchedule {
public:
    NoiseScheduleConfig config;
    std::vector<double> betas, alphas, alphas_cumprod;

    // Throws ConfigError for values that make no schedule.
    explicit NoiseSchedule(const NoiseScheduleConfig& schedule_config = {},
                           SchedulePrecision precision = SchedulePrecision::exact)
        : config(schedule_config), precision_(precision) {
        check(config);
        const std::int64_t steps = config.num_train_timesteps;
        double product = 1.0;
        for (std::int64_t t = 0; t < steps; ++t) {
            betas.push_back(rounded(config.beta_schedule == BetaSchedule::linear
                                        ? linear_beta(t, steps)
                                        : cosine_beta(t, steps)));
            alphas.push_back(rounded(1.0 - betas.back()));
            product *= alphas.back();
            alphas_cumprod.push_back(rounded(product));
        }
    }

    std::int64_t size() const { return config.num_train_timesteps; }
    SchedulePrecision precision() const { return precision_; }

    double alpha_cumprod(std::int64_t timestep) const {
        return timestep < 0 ? 1.0 : alphas_cumprod.at(static_cast<std::size_t>(timestep));
    }

    SignalAndNoise signal_and_noise(std::int64_t timestep) const {
        const double remaining = alpha_cumprod(timestep);
        return {std::sqrt(remaining), std::sqrt(1.0 - remaining)};
    }

    // ᾱ/(1-ᾱ): what a loss on x_0 is weighted by to become one on the noise.
    double signal_to_noise(std::int64_t timestep) const {
        const double remaining = alpha_cumprod(timestep);
        return remaining / (1.0 - remaining);
    }

    // One step back from `timestep` to `previous`, which may lie several training steps before.
    Posterior posterior(std::int64_t timestep, std::int64_t previous) const {
        const double beta =
            previous == timestep - 1 ? betas.at(static_cast<std::size_t>(timestep)) : -1.0;
        return precision_ == SchedulePrecision::exact
                   ? posterior_in<double>(alpha_cumprod(timestep), alpha_cumprod(previous), beta)
                   : posterior_in<float>(static_cast<float>(alpha_cumprod(timestep)),
                                         static_cast<float>(alpha_cumprod(previous)),
                                         static_cast<float>(beta));
    }

    // noisy = x_t from x_0 = clean and the noise ε; all of one size, `noisy` may be either of them.
    void q_sample(std::span<const float> clean, std::span<const float> noise, std::int64_t timestep,
                  std::span<float> noisy) const {
        const SignalAndNoise at = signal_and_noise(timestep);
        for (std::size_t i = 0; i < noisy.size(); ++i)
            noisy[i] = static_cast<float>(at.signal * clean[i] + at.noise * noise[i]);
    }

private:
    SchedulePrecision precision_;

    // DDPM, section 4.
    double linear_beta(std::int64_t t, std::int64_t steps) const {
        if (steps == 1) return config.beta_start;
        return config.beta_start + (config.beta_end - config.beta_start) * static_cast<double>(t) /
                                       static_cast<double>(steps - 1);
    }

    // Improved DDPM, formula (17).
    static double cosine_beta(std::int64_t t, std::int64_t steps) {
        const auto remaining = [steps](std::int64_t at) {
            const double time = static_cast<double>(at) / static_cast<double>(steps);
            const double root = std::cos((time + 0.008) / 1.008 * std::numbers::pi / 2.0);
            return root * root;
        };
        return std::min(1.0 - remaining(t + 1) / remaining(t), 0.999);
    }

    double rounded(double value) const {
        return precision_ == SchedulePrecision::exact ? value : static_cast<float>(value);
    }

    // T carries the arithmetic; a negative beta stands for a step over several timesteps.
    template <class T>
    static Posterior posterior_in(T remaining, T remaining_before, T beta) {
        const T noise = T(1) - remaining;
        const T noise_before = T(1) - remaining_before;
        if (beta < T(0)) beta = T(1) - remaining / remaining_before;
        // Not the quotient: in single precision the reference gets 0 where that is below 6e-8.
        const T alpha = T(1) - beta;
        return {.clean = std::sqrt(remaining_before) * beta / noise,
                .noisy = std::sqrt(alpha) * noise_before / noise,
                .variance = noise_before / noise * beta,
                .beta = beta};
    }

    static void check(const NoiseScheduleConfig& c) {
        if (c.num_train_timesteps < 1 || c.num_train_timesteps > 100000)
            throw ConfigError("num_train_timesteps is " + std::to_string(c.num_train_timesteps) +
                              "; expected 1 to 100000");
        if (!(c.beta_start > 0.0 && c.beta_start <= c.beta_end && c.beta_end < 1.0))
            throw ConfigError("beta_start and beta_end are " + std::to_string(c.beta_start) +
                              " and " + std::to_string(c.beta_end) +
                              "; expected 0 < beta_start <= beta_end < 1");
        if (c.clip_sample && !(c.clip_sample_range > 0.0 && std::isfinite(c.clip_sample_range)))
            throw ConfigError("clip_sample_range is " + std::to_string(c.clip_sample_range) +
                              "; expected a positive number");
    }
};

// The log variance of a step with a learned variance, from the network's `fraction`: -1 is the
// posterior's variance, +1 is beta (improved DDPM, formula (15)).
inline double learned_log_variance(const Posterior& posterior, double fraction) {
    const double share = (fraction + 1.0) / 2.0;
    // Without a floor, the step to the clean sample would have log 0.
    return share * std::log(posterior.beta) +
           (1.0 - share) * std::log(std::max(posterior.variance, 1e-20));
}

// The standard deviation of the noise of a step with a fixed variance.
inline double fixed_deviation(const Posterior& posterior) {
    return std::sqrt(std::max(posterior.variance, 1e-20));
}

}  // namespace dalle2
