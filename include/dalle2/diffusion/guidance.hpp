// Classifier-free guidance (Ho and Salimans 2021): away from what the network says without the
// condition, toward and beyond what it says with it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include <dalle2/core/array.hpp>

namespace dalle2 {

// A network's output, taken apart for a sampler.
struct ModelPrediction {
    Array prediction;         // [batch, ..., channels]
    Array variance_fraction;  // the same shape, or empty where the network has no second half

    std::span<const float> prediction_values() const {
        return {prediction.data(), prediction.size()};
    }
    std::span<const float> variance_values() const {
        return {variance_fraction.data(), variance_fraction.size()};
    }
};

namespace detail {

// The last axis is `channels` or 2·`channels` wide. Returns which.
inline bool has_variance(const Shape& shape, std::int64_t channels) {
    if (!shape.empty() && shape.back() == channels) return false;
    if (!shape.empty() && shape.back() == 2 * channels) return true;
    throw ShapeError("a model output " + to_string(shape) + " for samples of " +
                     std::to_string(channels) + " channels; expected " + std::to_string(channels) +
                     " or " + std::to_string(2 * channels) + " along the last axis");
}

}  // namespace detail

// output [batch, ..., channels or 2·channels] → its halves.
inline ModelPrediction split_prediction(const Array& output, std::int64_t channels) {
    Shape shape = shape_of(output);
    if (!detail::has_variance(shape, channels)) return {output, make_array({0})};
    shape.back() = channels;
    ModelPrediction halves{make_array(shape), make_array(shape)};
    const float* from = output.data();
    for (std::int64_t row = 0; row < element_count(shape) / channels; ++row, from += 2 * channels) {
        std::copy(from, from + channels, halves.prediction.data() + row * channels);
        std::copy(from + channels, from + 2 * channels,
                  halves.variance_fraction.data() + row * channels);
    }
    return halves;
}

// output [2·batch, ..., channels or 2·channels], the unconditional half of the batch first, →
// [batch, ..., channels]: unconditional + scale·(conditional - unconditional) for the prediction
// alone; the variance is the conditional one. Throws ConfigError when the scale is not a number.
inline ModelPrediction guided_prediction(const Array& output, std::int64_t channels, double scale) {
    const Shape shape = shape_of(output);
    if (!std::isfinite(scale))
        throw ConfigError("the guidance scale is not a finite number; expected for example 4");
    if (shape.empty() || shape[0] % 2 != 0)
        throw ShapeError("guidance: a model output " + to_string(shape) +
                         "; expected an even batch, unconditional half first");
    ModelPrediction both = split_prediction(output, channels);
    const auto conditional_half = [](const Array& values) {
        Shape half = shape_of(values);
        half[0] /= 2;
        Array result = make_array(half);
        std::copy(values.data() + result.size(), values.data() + values.size(), result.data());
        return result;
    };
    Array guided = conditional_half(both.prediction);
    const float factor = static_cast<float>(scale);
    for (std::size_t i = 0; i < guided.size(); ++i) {
        const float unconditional = both.prediction.data()[i];
        guided.data()[i] = unconditional + factor * (guided.data()[i] - unconditional);
    }
    return {std::move(guided), conditional_half(both.variance_fraction)};
}

}  // namespace dalle2
