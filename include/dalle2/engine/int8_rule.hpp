// Which layers take int8 weights.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string_view>
#include <vector>

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

// Whether int8 weights are worth their roundings in a layer with such weights. They take half the
// memory of bfloat16. Where the processor has dot products of bytes, linear layers and convolutions
// of other sizes than 3×3 are faster too: their input has to be made bytes first, and their sums
// numbers again, which pays where each number of the input meets 128 weights or more and each sum
// has 64 terms or more. With AVX-512 that is 1.3 times as fast as bfloat16, and approaches twice
// from there; AVX2 without dot products reaches 1.3 times. (3×3 convolutions are faster where a
// matrix unit multiplies bytes, and elsewhere take the products of bfloat16: see kernels/int8.hpp.)
inline bool worth_int8(const Shape& weight, ParameterKind kind) {
    const bool convolution = kind == ParameterKind::convolution;
    if (!convolution && kind != ParameterKind::matrix) return false;
    const std::int64_t height = convolution ? weight[2] : 1, width = convolution ? weight[3] : 1;
    return kernels::fits_int8(weight[1], height, width) && weight[0] * height * width >= 128 &&
           weight[1] * height * width >= 64;
}

// How well weights [out, run] survive rounding to int8 with a scale for each output: found output
// by output, by several threads if one likes.
class Int8Rounding {
public:
    explicit Int8Rounding(std::int64_t out, std::int64_t run)
        : run_(run), outputs_(static_cast<std::size_t>(out)) {}

    // Outputs from `first` on, and their scales.
    void add(std::int64_t first, std::int64_t count, const float* values, const float* scales) {
        for (std::int64_t o = 0; o < count; ++o)
            outputs_[static_cast<std::size_t>(first + o)] = rounded(values + o * run_, scales[o]);
    }

    // Of all outputs together.
    double decibels() const {
        SignalAndError all;
        for (const SignalAndError& output : outputs_) {
            all.signal += output.signal;
            all.error += output.error;
        }
        return dalle2::decibels(all.signal, all.error);
    }

private:
    // Sums of squares.
    struct SignalAndError {
        double signal = 0, error = 0;
    };

    SignalAndError rounded(const float* row, float scale) const {
        if (!std::isfinite(scale)) return {0, HUGE_VAL};
        // Sixteen sums, because they do not wait for each other.
        constexpr std::int64_t width = 16;
        float signal[width] = {}, error[width] = {};
        const float inverse = 1 / scale;
        const auto add = [&](float x, std::int64_t sum) {
            const float scaled = x * inverse;
            // (Compilers turn this into vectors, and no call of nearbyint.)
            const int whole = static_cast<int>(scaled + (scaled < 0 ? -0.5f : 0.5f));
            const float difference = x - scale * static_cast<float>(whole);
            signal[sum] += x * x;
            error[sum] += difference * difference;
        };
        std::int64_t i = 0;
        for (; i + width <= run_; i += width)
            for (std::int64_t j = 0; j < width; ++j) add(row[i + j], j);
        for (; i < run_; ++i) add(row[i], i % width);
        return {std::accumulate(signal, signal + width, 0.0),
                std::accumulate(error, error + width, 0.0)};
    }

    std::int64_t run_;
    std::vector<SignalAndError> outputs_;
};

// Whether weights of which nothing else is known become int8: where that is worth it, but for those
// before and after a network's blocks. They are few; what is rounded before reaches all blocks, and
// what is rounded after the output, as it is.
inline bool int8_unmeasured(std::string_view name, const Shape& weight, ParameterKind kind) {
    // "down_blocks.0.resnets.1.conv1.weight" is in a block, "conv_in.weight" is not.
    const auto in_block = [=] {
        for (std::size_t begin = 0; begin < name.size();) {
            const std::size_t end = std::min(name.size(), name.find('.', begin));
            const std::string_view part = name.substr(begin, end - begin);
            if (!part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos)
                return true;
            begin = end + 1;
        }
        return false;
    };
    return in_block() && worth_int8(weight, kind);
}

// What weights of which nothing else is known keep at least when they become int8. (Normally
// distributed ones have some 42 dB; a few that are far larger than the others cost.)
inline constexpr double least_unmeasured_decibels = 36;

}  // namespace dalle2
