// Weights as int8 in a file: a tensor "w" of I8 and beside it "w_scale", one float for each output
// (each index of the first axis). The weight is the product of both.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <dalle2/core/array.hpp>
#include <dalle2/core/error.hpp>

namespace dalle2 {

inline std::string int8_scale_name(const std::string& weight) { return weight + "_scale"; }

// What a file that was made for int8 says of itself in its metadata, under the key "int8".
inline constexpr const char* int8_metadata_key = "int8";
inline constexpr const char* int8_metadata_text =
    "a weight w of type I8 stands for w times w_scale, one scale for each output";

struct Int8Tensor {
    std::vector<std::int8_t> values;  // -127 to 127
    std::vector<float> scales;
};

// What 1 stands for where 127 stands for the largest magnitude of some weights. Never a denormal
// number: the inverse of one may be infinite, and zero has none.
inline float int8_scale(float most) {
    return std::max(most / 127.0f, std::numeric_limits<float>::min());
}

// Rounds weights [out, ...], all finite: the largest of an output becomes 127.
inline Int8Tensor to_int8(const Array& weight) {
    const std::size_t out = weight.shape()[0], run = out ? weight.size() / out : 0;
    Int8Tensor made;
    made.values.reserve(weight.size());
    for (std::size_t o = 0; o < out; ++o) {
        const float* row = weight.data() + o * run;
        float most = 0;
        for (std::size_t i = 0; i < run; ++i) most = std::max(most, std::abs(row[i]));
        const float scale = int8_scale(most);
        const float inverse = 1.0f / scale;
        for (std::size_t i = 0; i < run; ++i)
            made.values.push_back(static_cast<std::int8_t>(
                std::clamp(std::nearbyint(row[i] * inverse), -127.0f, 127.0f)));
        made.scales.push_back(scale);
    }
    return made;
}

// Throws FormatError, naming `where`, for a scale that is no positive number.
inline void check_scales(const Array& scales, const std::string& where) {
    for (std::size_t o = 0; o < scales.size(); ++o)
        if (const float scale = scales.data()[o]; !(scale > 0 && std::isfinite(scale)))
            throw FormatError(where + ": the scale of output " + std::to_string(o) + " is " +
                              std::to_string(scale) + "; expected a positive number");
}

// values [out, run] times scales [out].
inline void multiply_by_scales(const float* scales, std::int64_t out, std::int64_t run,
                               float* values) {
    for (std::int64_t o = 0; o < out; ++o, values += run)
        for (std::int64_t i = 0; i < run; ++i) values[i] *= scales[o];
}

}  // namespace dalle2
