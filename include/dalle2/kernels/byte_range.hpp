// Numbers as bytes: what a product with int8 weights makes of its input.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

namespace dalle2::kernels {

// How bytes stand for numbers: x = scale·(byte - zero). Zero is a byte itself, so that padding is
// exact. Where numbers are not all finite the scale is NaN, and so becomes every result in which
// they take part.
struct ByteRange {
    float scale;
    std::int32_t zero;  // 0 to 255
};

// The smallest and the largest of some bfloat16 numbers and zero, as whole numbers in the same
// order: the bits of the number, for negative ones inverted but for the sign. NaN lies beyond the
// infinities.
struct Extremes {
    std::int16_t low = 0, high = 0;

    void add(const Extremes& other) {
        low = std::min(low, other.low);
        high = std::max(high, other.high);
    }
};

// Of all of some numbers, from those of their parts.
inline Extremes joined(const Extremes* parts, std::int64_t count) {
    Extremes all;
    for (std::int64_t i = 0; i < count; ++i) all.add(parts[i]);
    return all;
}

inline ByteRange byte_range(const Extremes& extremes) {
    constexpr std::int16_t infinite = 0x7f80, negative_infinite = ~infinite;
    const auto value = [](std::int16_t order) {
        const auto bits = static_cast<std::uint16_t>(order < 0 ? order ^ 0x7fff : order);
        return std::bit_cast<float>(std::uint32_t{bits} << 16);
    };
    if (extremes.low <= negative_infinite || extremes.high >= infinite)
        return {std::numeric_limits<float>::quiet_NaN(), 0};
    const float low = value(extremes.low), high = value(extremes.high);
    // Divided first: the difference of two large numbers may be infinite. Not smaller than a normal
    // number, so that the inverse is finite.
    const float scale = std::max(high / 255.0f - low / 255.0f, std::numeric_limits<float>::min());
    return {scale, static_cast<std::int32_t>(0.5f - low / scale)};
}

}  // namespace dalle2::kernels
