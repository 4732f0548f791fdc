#include <dalle2/core/float8.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <string>

#include "../golden/golden_files.hpp"

using namespace dalle2;

namespace {

template <class Float8>
void check_every_code(const nlohmann::json& expected) {
    REQUIRE(expected.size() == 256);
    for (std::size_t code = 0; code < 256; ++code) {
        const auto value = static_cast<float>(Float8{static_cast<std::uint8_t>(code)});
        const nlohmann::json& wanted = expected[code];
        INFO(code);
        if (wanted.is_number()) {
            CHECK(value == wanted.get<float>());
            CHECK(std::signbit(value) == (code >= 128));
        } else if (wanted == "nan") {
            CHECK(std::isnan(value));
        } else {
            CHECK(std::isinf(value));
            CHECK(std::signbit(value) == (wanted == "-inf"));
        }
    }
}

}  // namespace

TEST_CASE("every code of the two 8-bit floats has the value that PyTorch gives it") {
    const nlohmann::json golden = golden::read_json(golden::folder() / "float8.json");
    check_every_code<Float8E4M3>(golden.at("float8_e4m3fn"));
    check_every_code<Float8E5M2>(golden.at("float8_e5m2"));
}
