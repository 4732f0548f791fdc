// Which layers take int8 weights.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <dalle2/core/array.hpp>
#include <dalle2/engine/concept.hpp>
#include <dalle2/io/int8_tensor.hpp>
#include <dalle2/kernels/int8.hpp>
#include <dalle2/kernels/pack_rows.hpp>

namespace dalle2 {

// 10·log10 of signal and error, both sums of squares; infinite without an error. What is not a
// number is no signal.
inline double decibels(double signal, double error) {
    if (!(std::isfinite(signal) && std::isfinite(error)))
        return -std::numeric_limits<double>::infinity();
    return error > 0 ? 10 * std::log10(signal / error) : std::numeric_limits<double>::infinity();
}

// Whether int8 weights are worth their roundings in a layer with such weights. They take half the
// memory of bfloat16. Where the processor has dot products of bytes, linear layers and convolutions
// of other sizes than 3×3 are faster too: their input has to be made bytes first, and their sums
// numbers again, which pays where each number of the input meets 128 weights or more and each sum
// has 64 terms or more. With AVX-512 that is 1.3 times as fast as bfloat16, and approaches twice
// from there; AVX2 without dot products reaches 1.3 times. (3×3 convolutions take the products of
// bfloat16: see kernels/int8.hpp.)
inline bool worth_int8(const Shape& weight, ParameterKind kind) {
    const bool convolution = kind == ParameterKind::convolution;
    if (!convolution && kind != ParameterKind::matrix) return false;
    const std::int64_t height = convolution ? weight[2] : 1, width = convolution ? weight[3] : 1;
    return kernels::fits_int8(weight[1], height, width) && weight[0] * height * width >= 128 &&
           weight[1] * height * width >= 64;
}

namespace detail {

// Sums of squares.
struct SignalAndError {
    double signal = 0, error = 0;
};

// Of one output's weights and what rounding to int8 makes of them. What is not finite is an
// infinite error.
inline SignalAndError int8_rounding(const float* row, std::int64_t run) {
    float most = 0;
    for (std::int64_t i = 0; i < run; ++i) {
        if (!std::isfinite(row[i])) return {0, std::numeric_limits<double>::infinity()};
        most = std::max(most, std::abs(row[i]));
    }
    const float scale = int8_scale(most), inverse = 1 / scale;
    float signal = 0, error = 0;
    for (std::int64_t i = 0; i < run; ++i) {
        const float difference = row[i] - scale * std::nearbyint(row[i] * inverse);
        signal += row[i] * row[i];
        error += difference * difference;
    }
    return {signal, error};
}

}  // namespace detail

// How well weights survive rounding to int8 with a scale for each output, in dB: weights of `out`
// rows, which `read` gives, of `run` numbers.
inline double int8_weight_decibels(std::int64_t out, std::int64_t run,
                                   const kernels::RowReader& read) {
    std::vector<detail::SignalAndError> rows(static_cast<std::size_t>(out));
    kernels::detail::for_each_panel(
        out, run, read, [&](std::int64_t panel, const float* values, std::int64_t count) {
            for (std::int64_t o = 0; o < count; ++o)
                rows[static_cast<std::size_t>(panel * kernels::panel_width + o)] =
                    detail::int8_rounding(values + o * run, run);
        });
    double signal = 0, error = 0;
    for (const detail::SignalAndError& row : rows) {
        signal += row.signal;
        error += row.error;
    }
    return decibels(signal, error);
}
inline double int8_weight_decibels(const Array& weight) {
    const auto out = static_cast<std::int64_t>(weight.shape()[0]);
    const std::int64_t run = static_cast<std::int64_t>(weight.size()) / out;
    return int8_weight_decibels(out, run, kernels::rows_of(weight.data(), run));
}

// The rule for weights of which nothing else is known: worth it, and hardly changed by rounding.
// (Normally distributed weights have some 42 dB; a few that are far larger than the others cost.)
inline bool takes_int8_unmeasured(const Shape& weight, ParameterKind kind,
                                  const kernels::RowReader& read) {
    constexpr double least_decibels = 36;
    return worth_int8(weight, kind) &&
           int8_weight_decibels(weight[0], element_count(weight) / weight[0], read) >=
               least_decibels;
}

}  // namespace dalle2
