// IEEE half precision, many numbers at a time. (The type of one, float16, is in bfloat16.hpp.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace dalle2 {

namespace detail {

inline constexpr int float16_vector = 4;  // numbers that are converted at once
typedef std::uint16_t float16_codes __attribute__((vector_size(2 * float16_vector)));
typedef std::uint32_t float16_words __attribute__((vector_size(4 * float16_vector)));
typedef float float16_floats __attribute__((vector_size(4 * float16_vector)));

inline void convert_float16(const std::byte* halves, float* values) {
    float16_codes codes;
    std::memcpy(&codes, halves, sizeof codes);
    const auto wide = __builtin_convertvector(codes, float16_words);
    // Exponent and fraction to where a float has them; the bias grows from 15 to 127.
    const float16_words moved = (wide & 0x7fffu) << 13, exponent = moved & (0x1fu << 23);
    float16_words bits = moved + ((127u - 15u) << 23);
    const auto infinite = reinterpret_cast<float16_words>(exponent == (0x1fu << 23));
    bits += infinite & ((255u - 127u - 16u) << 23);
    // Below the normal numbers the fraction counts units of 2^-24, with no leading one: as the
    // fraction of 2^-14 it gets one, which a subtraction takes away again.
    const auto below = reinterpret_cast<float16_words>(exponent == 0u);
    const float16_words unit = float16_words{} + ((127u - 14u) << 23);
    const auto fraction = reinterpret_cast<float16_words>(
        reinterpret_cast<float16_floats>(moved + unit) - reinterpret_cast<float16_floats>(unit));
    bits = ((bits & ~below) | (fraction & below)) | (wide & 0x8000u) << 16;
    std::memcpy(values, &bits, sizeof bits);
}

}  // namespace detail

// values [count] = the halves [count], as bytes of any alignment: exactly, with the payload of NaN.
// (static_cast<float>(float16) takes several times as long where the compiler may not use the
// instruction for it.)
inline void float16_to_float(const std::byte* halves, std::size_t count, float* values) {
    constexpr std::size_t vector = detail::float16_vector;
    std::size_t i = 0;
    for (; i + vector <= count; i += vector) detail::convert_float16(halves + 2 * i, values + i);
    if (i == count) return;
    std::byte last[2 * vector] = {};
    float converted[vector];
    std::memcpy(last, halves + 2 * i, 2 * (count - i));
    detail::convert_float16(last, converted);
    std::memcpy(values + i, converted, sizeof(float) * (count - i));
}

}  // namespace dalle2
