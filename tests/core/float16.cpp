#include <dalle2/core/bfloat16.hpp>
#include <dalle2/core/float16.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

using namespace dalle2;

TEST_CASE("every half becomes the float of the same value") {
    std::vector<std::uint16_t> codes(65536);
    for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint16_t>(i);
    std::vector<float> values(codes.size());
    float16_to_float(reinterpret_cast<const std::byte*>(codes.data()), codes.size(), values.data());
    for (std::size_t i = 0; i < codes.size(); ++i) {
        INFO(i);
        const auto expected = static_cast<float>(std::bit_cast<float16>(codes[i]));
        const std::uint32_t sign = (codes[i] & 0x8000u) << 16, fraction = codes[i] & 0x3ffu;
        if (std::isnan(expected))  // with its payload
            CHECK(std::bit_cast<std::uint32_t>(values[i]) == (sign | 0x7f800000u | fraction << 13));
        else
            CHECK(std::bit_cast<std::uint32_t>(values[i]) ==
                  std::bit_cast<std::uint32_t>(expected));
    }
    CHECK(values[0x3c00] == 1.0f);
    CHECK(values[0x7bff] == 65504.0f);
    CHECK(values[0x0001] == std::ldexp(1.0f, -24));
    CHECK(values[0xfc00] == -std::numeric_limits<float>::infinity());
}

TEST_CASE("halves that are not aligned, and fewer than a vector, are read and written alone") {
    for (std::size_t count = 0; count < 11; ++count) {
        INFO(count);
        std::vector<std::byte> bytes(1 + 2 * count);
        for (std::size_t i = 0; i < count; ++i) {
            const auto code = static_cast<std::uint16_t>(0x3c00 + 64 * i);
            std::memcpy(bytes.data() + 1 + 2 * i, &code, 2);
        }
        std::vector<float> values(count + 1, -7.0f);
        float16_to_float(bytes.data() + 1, count, values.data());
        for (std::size_t i = 0; i < count; ++i)
            CHECK(values[i] == 1.0f + 0.0625f * static_cast<float>(i));
        CHECK(values[count] == -7.0f);
    }
}
