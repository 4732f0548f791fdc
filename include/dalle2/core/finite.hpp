// Numbers that are none: found where they arise, and reported by the stage that made them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include <dalle2/core/array.hpp>
#include <dalle2/core/error.hpp>

namespace dalle2 {

// How many of n values are infinite or not a number.
inline std::int64_t count_not_finite(std::int64_t n, const float* values) {
    // Zero times a number is zero; of what is none it is not. Sixteen sums, because they do not
    // wait for each other.
    float zeros[16] = {};
    std::int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (std::int64_t j = 0; j < 16; ++j) zeros[j] += values[i + j] * 0.0f;
    float sum = 0;
    for (; i < n; ++i) sum += values[i] * 0.0f;
    for (const float zero : zeros) sum += zero;
    if (sum == 0.0f) return 0;
    return std::count_if(values, values + n, [](float value) { return !std::isfinite(value); });
}

inline constexpr const char* damaged_network =
    "The network's weights are damaged, or too large for the engine's precision: get the model's "
    "files anew, or try the engine float32";

// Throws NumericError when there are any; `stage` ("decoder, step 3 of 25") made them, and `advice`
// says why that may be and what to do.
inline void check_finite(const Array& values, const std::string& stage,
                         const std::string& advice = damaged_network) {
    const auto count = static_cast<std::int64_t>(values.size());
    if (const std::int64_t bad = count_not_finite(count, values.data()); bad > 0)
        throw NumericError(stage + ": " + std::to_string(bad) + " of " + std::to_string(count) +
                           " values are infinite or not a number; expected numbers. " + advice);
}

}  // namespace dalle2
