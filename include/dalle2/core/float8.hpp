// The 8-bit floats of weight files: "FP8 Formats for Deep Learning" (Micikevicius et al. 2022).
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace dalle2 {

namespace detail {

// The value of each code of a format with a sign, `exponent_bits` and the rest for the fraction.
// With infinities the largest exponent means infinity or NaN, as in IEEE 754; without, the largest
// code alone is NaN.
constexpr std::array<float, 256> float8_values(int exponent_bits, bool infinities) {
    constexpr int float_bias = 127, float_fraction_bits = 23;
    const int fraction_bits = 7 - exponent_bits;
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const std::uint32_t largest = (1u << exponent_bits) - 1;
    std::array<float, 256> values{};
    for (std::uint32_t code = 0; code < 256; ++code) {
        const std::uint32_t exponent = (code & 0x7F) >> fraction_bits;
        const std::uint32_t fraction = code & ((1u << fraction_bits) - 1);
        const auto power_of_two = [](int power) {
            return std::bit_cast<float>(static_cast<std::uint32_t>(power + float_bias)
                                        << float_fraction_bits);
        };
        float value = 0.0f;
        if (infinities ? exponent == largest : (code & 0x7F) == 0x7F) {
            value = infinities && fraction == 0 ? std::numeric_limits<float>::infinity()
                                                : std::numeric_limits<float>::quiet_NaN();
        } else if (exponent == 0) {  // subnormal
            value = static_cast<float>(fraction) * power_of_two(1 - bias - fraction_bits);
        } else {
            value = static_cast<float>(fraction + (1u << fraction_bits)) *
                    power_of_two(static_cast<int>(exponent) - bias - fraction_bits);
        }
        values[code] = code & 0x80 ? -value : value;
    }
    return values;
}

}  // namespace detail

// 4 bits of exponent, 3 of fraction, no infinities: up to 448. PyTorch's float8_e4m3fn.
struct Float8E4M3 {
    std::uint8_t code = 0;

    explicit operator float() const {
        static constexpr auto values = detail::float8_values(4, false);
        return values[code];
    }
};

// 5 bits of exponent, 2 of fraction: the upper half of a float16. PyTorch's float8_e5m2.
struct Float8E5M2 {
    std::uint8_t code = 0;

    explicit operator float() const {
        static constexpr auto values = detail::float8_values(5, true);
        return values[code];
    }
};

}  // namespace dalle2
