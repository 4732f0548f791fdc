// What a network predicts (noise, clean sample or v), turned into what an algorithm needs.
// Each is a weighted sum of the noisy sample and the prediction, so one pair of weights says it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include <dalle2/diffusion/noise_schedule.hpp>

namespace dalle2 {

// of_sample·x_t + of_prediction·prediction.
struct PredictionWeights {
    double of_sample, of_prediction;

    double operator()(double sample, double prediction) const {
        return of_sample * sample + of_prediction * prediction;
    }
};

// x_0 from x_t and a prediction. DDPM, formula (15); Salimans and Ho 2022, appendix D.
inline PredictionWeights clean_sample_weights(PredictionType type, SignalAndNoise at) {
    switch (type) {
        case PredictionType::epsilon: return {1.0 / at.signal, -at.noise / at.signal};
        case PredictionType::sample: return {0.0, 1.0};
        case PredictionType::v_prediction: return {at.signal, -at.noise};
    }
    return {};
}

// The x_0 that a sampler goes by: the predicted one, clipped where the schedule says so.
class CleanSample {
public:
    CleanSample(const NoiseSchedule& schedule, std::int64_t timestep)
        : weights_(clean_sample_weights(schedule.config.prediction_type,
                                        schedule.signal_and_noise(timestep))),
          limit_(schedule.config.clip_sample ? schedule.config.clip_sample_range : HUGE_VAL) {}

    double operator()(double sample, double prediction) const {
        return std::clamp(weights_(sample, prediction), -limit_, limit_);
    }

private:
    PredictionWeights weights_;
    double limit_;
};

// The noise ε from x_t and a prediction. Undefined (division by zero) for a prediction of the
// sample where there is no noise.
inline PredictionWeights noise_weights(PredictionType type, SignalAndNoise at) {
    switch (type) {
        case PredictionType::epsilon: return {0.0, 1.0};
        case PredictionType::sample: return {1.0 / at.noise, -at.signal / at.noise};
        case PredictionType::v_prediction: return {at.noise, at.signal};
    }
    return {};
}

// What a network of this type should predict, for training: target[i] from x_0 and ε.
inline void prediction_target(PredictionType type, SignalAndNoise at, std::span<const float> clean,
                              std::span<const float> noise, std::span<float> target) {
    for (std::size_t i = 0; i < target.size(); ++i) {
        switch (type) {
            case PredictionType::epsilon: target[i] = noise[i]; break;
            case PredictionType::sample: target[i] = clean[i]; break;
            case PredictionType::v_prediction:
                target[i] = static_cast<float>(at.signal * noise[i] - at.noise * clean[i]);
                break;
        }
    }
}

}  // namespace dalle2
