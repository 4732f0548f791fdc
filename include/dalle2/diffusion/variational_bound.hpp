// The loss of a learned variance: one term of the variational bound on the negative
// log-likelihood of a picture (Ho et al. 2020, formula (5); Nichol and Dhariwal 2021, section 3.1).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <span>

#include <dalle2/diffusion/noise_schedule.hpp>
#include <dalle2/diffusion/prediction.hpp>

namespace dalle2 {

namespace detail {

// A value and its derivative by the log variance.
struct Differentiable {
    double value, derivative;
};

// KL(N(mean_difference, exp(true_log)) ‖ N(0, exp(log_variance))), in nats.
inline Differentiable normal_kl(double mean_difference, double true_log, double log_variance) {
    const double spread = std::exp(true_log - log_variance) +
                          mean_difference * mean_difference * std::exp(-log_variance);
    // A variance that is far too small would have an infinite slope, which nothing recovers from.
    constexpr double steepest = 1e3;
    return {0.5 * (log_variance - true_log - 1.0 + spread),
            0.5 * (1.0 - std::min(spread, steepest))};
}

// -log of the probability that N(mean, exp(log_variance)) gives to the 8-bit level nearest to
// `clean`; the levels lie 2/255 apart in [-1, 1], the outer ones reach to infinity. In nats.
inline Differentiable level_nll(double clean, double mean, double log_variance) {
    const double inverse = std::exp(-0.5 * log_variance);
    const auto cumulative = [](double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); };
    const auto density = [](double z) {
        return std::exp(-0.5 * z * z) / std::sqrt(2.0 * std::numbers::pi);
    };
    const double upper = (clean - mean + 1.0 / 255.0) * inverse;
    const double lower = (clean - mean - 1.0 / 255.0) * inverse;
    const bool open_above = clean > 0.999, open_below = clean < -0.999;
    // From the side on which the numbers are small: 1 - 1 would be 0.
    double probability;
    if (open_above)
        probability = cumulative(-lower);
    else if (open_below)
        probability = cumulative(upper);
    else if (lower > 0.0)
        probability = cumulative(-lower) - cumulative(-upper);
    else
        probability = cumulative(upper) - cumulative(lower);
    // z = d·exp(-log_variance/2), so dz/dlog_variance = -z/2.
    const double change = (open_above ? 0.0 : -0.5 * upper * density(upper)) +
                          (open_below ? 0.0 : 0.5 * lower * density(lower));
    constexpr double smallest = 1e-12;
    if (probability < smallest) return {-std::log(smallest), 0.0};
    return {-std::log(probability), -change / probability};
}

}  // namespace detail

// What one sample at one timestep contributes to the bound, in bits per element: the divergence of
// the network's step back to `previous` from the true posterior; at timestep 0, whose previous one
// is -1, the code length of the picture. The bound of a whole diffusion is the sum over its
// timesteps, so the paper's loss weight of 0.001 on that sum is 0.001·T on the average over random
// timesteps that training sees, and 0.001·T/s where it steps back by s.
//
// Adds `weight` times the derivative of the result by each element of `variance_fraction` to
// `gradient` (which may be empty). The mean is a constant here, as in the paper: the prediction
// learns from the plain loss alone. All spans have the size of `clean`.
inline double variational_bound(const NoiseSchedule& schedule, std::int64_t timestep,
                                std::int64_t previous, std::span<const float> clean,
                                std::span<const float> noisy, std::span<const float> prediction,
                                std::span<const float> variance_fraction,
                                std::span<float> gradient = {}, double weight = 1.0) {
    Posterior posterior = schedule.posterior(timestep, previous);
    // The posterior of the last step has no variance; the paper lends it that of the step before.
    if (timestep == 0 && schedule.size() > 1)
        posterior.variance = schedule.posterior(1, 0).variance;
    const double true_log = std::log(std::max(posterior.variance, 1e-20));
    const double log_range = std::log(posterior.beta) - true_log;
    const PredictionWeights clean_sample =
        clean_sample_weights(schedule.config.prediction_type, schedule.signal_and_noise(timestep));
    const double per_element = 1.0 / (std::numbers::ln2 * static_cast<double>(clean.size()));

    double sum = 0.0;
    for (std::size_t i = 0; i < clean.size(); ++i) {
        const double predicted_clean = clean_sample(noisy[i], prediction[i]);
        const double log_variance = learned_log_variance(posterior, variance_fraction[i]);
        const detail::Differentiable term =
            timestep == 0
                ? detail::level_nll(clean[i],
                                    posterior.clean * predicted_clean + posterior.noisy * noisy[i],
                                    log_variance)
                : detail::normal_kl(posterior.clean * (clean[i] - predicted_clean), true_log,
                                    log_variance);
        sum += term.value;
        if (!gradient.empty())
            gradient[i] +=
                static_cast<float>(weight * per_element * term.derivative * 0.5 * log_range);
    }
    return sum * per_element;
}

}  // namespace dalle2
