// Numbers that are none are counted and reported.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <dalle2/core/finite.hpp>

using namespace dalle2;

TEST_CASE("what is infinite or not a number is counted, at every place of every length") {
    const float infinity = std::numeric_limits<float>::infinity();
    for (const std::size_t length : {1u, 15u, 16u, 17u, 50u}) {
        std::vector<float> values(length, -std::numeric_limits<float>::max());
        const auto count = [&] {
            return count_not_finite(static_cast<std::int64_t>(length), values.data());
        };
        CHECK(count() == 0);
        for (float& value : values)
            for (const float bad : {infinity, -infinity, std::nanf("")}) {
                const float before = std::exchange(value, bad);
                CHECK(count() == 1);
                value = before;
            }
        values.front() = infinity;
        values.back() = -infinity;
        CHECK(count() == (length == 1 ? 1 : 2));
    }
    CHECK(count_not_finite(0, nullptr) == 0);
}

TEST_CASE("an array that holds what is no number is an error that says how much and where from") {
    Array values = make_array({2, 3}, 1.0f);
    check_finite(values, "decoder, step 1 of 2");
    values(1, 0) = std::nanf("");
    CHECK_THROWS_WITH_AS(check_finite(values, "decoder, step 1 of 2"),
                         doctest::Contains("decoder, step 1 of 2: 1 of 6 values"), NumericError);
    CHECK_THROWS_WITH_AS(check_finite(values, "embedding"), doctest::Contains("float32"),
                         NumericError);
    CHECK_THROWS_WITH_AS(check_finite(values, "embedding", "Ask who made it"),
                         "embedding: 1 of 6 values are infinite or not a number; expected numbers. "
                         "Ask who made it",
                         NumericError);
}
