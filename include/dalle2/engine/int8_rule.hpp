// Which layers take int8 weights.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include <dalle2/core/array.hpp>
#include <dalle2/engine/concept.hpp>
#include <dalle2/kernels/int8.hpp>

namespace dalle2 {

// 10·log10 of signal and error, both sums of squares; infinite without an error. What is not a
// number is no signal.
inline double decibels(double signal, double error) {
    if (!(std::isfinite(signal) && std::isfinite(error)))
        return -std::numeric_limits<double>::infinity();
    return error > 0 ? 10 * std::log10(signal / error) : std::numeric_limits<double>::infinity();
}

// Whether a layer with such weights can run with int8 weights and would be faster. Its input has to
// be made bytes first, and its sums numbers again, which pays where each number of the input meets
// 128 weights or more and each sum has 64 terms or more: with AVX-512 that is 1.3 times as fast as
// bfloat16, and approaches twice from there.
inline bool gains_from_int8(const Shape& weight, ParameterKind kind) {
    const bool convolution = kind == ParameterKind::convolution;
    if (!convolution && kind != ParameterKind::matrix) return false;
    const std::int64_t height = convolution ? weight[2] : 1, width = convolution ? weight[3] : 1;
    return kernels::fits_int8(weight[1], height, width) && weight[0] * height * width >= 128 &&
           weight[1] * height * width >= 64;
}

// How well weights [out, ...] survive rounding to int8 with a scale for each output, in dB.
inline double int8_weight_decibels(const Array& weight) {
    const std::int64_t out = static_cast<std::int64_t>(weight.shape()[0]);
    const std::int64_t run = static_cast<std::int64_t>(weight.size()) / out;
    double signal = 0, error = 0;
    for (const float* row = weight.data(); row != weight.data() + out * run; row += run) {
        float most = 0;
        for (std::int64_t i = 0; i < run; ++i) {
            if (!std::isfinite(row[i])) return decibels(row[i], 0);
            most = std::max(most, std::abs(row[i]));
        }
        if (most == 0) continue;
        const float scale = most / 127, inverse = 1 / scale;
        float row_signal = 0, row_error = 0;
        for (std::int64_t i = 0; i < run; ++i) {
            const float difference = row[i] - scale * std::nearbyint(row[i] * inverse);
            row_signal += row[i] * row[i];
            row_error += difference * difference;
        }
        signal += static_cast<double>(row_signal);
        error += static_cast<double>(row_error);
    }
    return decibels(signal, error);
}

// The rule for weights of which nothing else is known: worth it, and hardly changed by rounding.
// (Normally distributed weights have some 42 dB; a few that are far larger than the others cost.)
inline bool takes_int8_unmeasured(const Array& weight, ParameterKind kind) {
    constexpr double least_decibels = 36;
    return gains_from_int8(shape_of(weight), kind) &&
           int8_weight_decibels(weight) >= least_decibels;
}

}  // namespace dalle2
