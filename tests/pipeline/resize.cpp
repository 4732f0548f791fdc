// Resizing against numbers of PyTorch's interpolate(mode="bicubic", antialias=True).
#include <doctest/doctest.h>

#include <cmath>

#include <dalle2/pipeline/resize.hpp>

using namespace dalle2;

namespace {

Array waves(const Shape& shape) {
    Array x = make_array(shape);
    for (std::size_t i = 0; i < x.size(); ++i)
        x.data()[i] = std::sin(static_cast<float>(i) * 0.7f + 0.3f);
    return x;
}

void check_values(const Array& found, const std::vector<float>& expected) {
    REQUIRE(found.size() >= expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i)
        CHECK(found.data()[i] == doctest::Approx(expected[i]).epsilon(3e-6).scale(1));
}

}  // namespace

TEST_CASE("enlarging is as in PyTorch") {
    const Array y = resize_bicubic(waves({1, 3, 2, 1}), 5, 4);
    CHECK(shape_of(y) == Shape{1, 5, 4, 1});
    check_values(
        y, {0.1890676f,   0.3695492f,  0.7274316f,  0.9079133f, 0.559409f,   0.6358098f, 0.7873073f,
            0.8637081f,   1.019565f,   0.9261659f,  0.7409622f, 0.6475631f,  0.4566154f, 0.2871399f,
            -0.04891827f, -0.2183938f, 0.02977843f, -0.170751f, -0.5683868f, -0.7689162f});
}

TEST_CASE("enlarging four times, as before the upsampler, is as in PyTorch") {
    const Array y = resize_bicubic(waves({1, 4, 4, 1}), 16, 16);
    check_values(
        y, {0.2478032f, 0.2884129f, 0.377108f,  0.5345352f, 0.7356821f, 0.9329168f, 1.056645f,
            1.141777f,  1.196627f,  1.216612f,  1.189315f,  1.091523f,  0.9751288f, 0.8803498f,
            0.8310518f, 0.8094321f, 0.2406582f, 0.2769929f, 0.3564093f, 0.4975709f});
    double weighted = 0;
    for (std::size_t i = 0; i < y.size(); ++i) weighted += static_cast<double>(i) * y.data()[i];
    CHECK(weighted == doctest::Approx(-1293.55944537092).epsilon(1e-5));
}

TEST_CASE("shrinking is antialiased as in PyTorch, channels apart") {
    check_values(resize_bicubic(waves({1, 7, 5, 2}), 3, 2),
                 {0.3971152f, 0.1441253f, -0.4131876f, -0.1743584f, -0.2422769f, -0.4275221f,
                  0.2158915f, 0.417486f, -0.3897037f, -0.1310459f, 0.4065826f, 0.1615866f});
}

TEST_CASE("each picture of a batch is resized alone, and the same size changes nothing") {
    const Array x = waves({2, 3, 5, 3});
    CHECK(resize_bicubic(x, 3, 5) == x);
    const Array both = resize_bicubic(x, 4, 7);
    Array second = make_array({1, 3, 5, 3});
    std::copy(x.data() + 45, x.data() + 90, second.data());
    const Array alone = resize_bicubic(second, 4, 7);
    CHECK(std::equal(alone.data(), alone.data() + alone.size(), both.data() + alone.size()));
}

TEST_CASE("a size of nothing is an error") {
    CHECK_THROWS_AS(resize_bicubic(waves({1, 3, 2, 1}), 0, 4), ShapeError);
    CHECK_THROWS_AS(resize_bicubic(waves({3, 2}), 4, 4), ShapeError);
}

TEST_CASE("a Gaussian blur spreads a pixel as the density does and keeps the mean") {
    Array dot = make_array({2, 15, 11, 2});
    dot(1, 7, 5, 1) = 1;
    const double deviation = 0.8;
    const Array blurred = gaussian_blur(dot, deviation);
    REQUIRE(shape_of(blurred) == shape_of(dot));
    double sum = 0;
    for (std::int64_t y = 0; y < 15; ++y)
        for (std::int64_t x = 0; x < 11; ++x) {
            sum += blurred(1, y, x, 1);
            CHECK(blurred(0, y, x, 1) == 0);
            CHECK(blurred(1, y, x, 0) == 0);
            const bool far = std::abs(y - 7) > 3 || std::abs(x - 5) > 3;
            const double square = static_cast<double>((y - 7) * (y - 7) + (x - 5) * (x - 5));
            const double density =
                far ? 0 : blurred(1, 7, 5, 1) * std::exp(-square / (2 * deviation * deviation));
            CHECK(blurred(1, y, x, 1) == doctest::Approx(density).epsilon(1e-5));
        }
    CHECK(sum == doctest::Approx(1));
}

TEST_CASE("a Gaussian blur leaves an even picture even, edges included, and 0 changes nothing") {
    const Array even = make_array({1, 5, 3, 1}, 0.5f);
    const Array blurred = gaussian_blur(even, 2.5);
    for (const float value : blurred) CHECK(value == doctest::Approx(0.5f));
    Array ramp = even;
    for (std::size_t i = 0; i < ramp.size(); ++i) ramp.data()[i] = static_cast<float>(i);
    CHECK(gaussian_blur(ramp, 0) == ramp);
}

TEST_CASE("a blur that cannot be is an error, an enormous one is even") {
    const Array dot = waves({1, 3, 2, 1});
    for (const double wrong : {-1.0, std::nan(""), HUGE_VAL})
        CHECK_THROWS_AS(gaussian_blur(dot, wrong), ConfigError);
    CHECK_THROWS_AS(gaussian_blur(waves({3, 2}), 1), ShapeError);
    const Array even = gaussian_blur(dot, 1e300);
    for (const float value : even) CHECK(value == doctest::Approx(even(0, 0, 0, 0)));
}
