// Layers with int8 weights: against whole-number sums of the bytes that they are said to use, for
// every instruction set.
#include <array>
#include <limits>

#include <dalle2/kernels/kernels.hpp>
#include <dalle2/kernels/pack_rows.hpp>

#include "support.hpp"

using namespace kernel_tests;
using dalle2::kernels::ByteRange;
using dalle2::kernels::Conv2dShape;
using dalle2::kernels::Int8Weights;
namespace kernels = dalle2::kernels;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

struct Data {
    explicit Data(const Conv2dShape& s)
        : x(random_values<bfloat16>(s.batch * s.height * s.width * s.in_channels, 1)),
          w(random_values<float>(s.out_channels * s.in_channels * s.kernel_height * s.kernel_width,
                                 2)),
          bias(random_values<float>(s.out_channels, 3)) {}

    std::vector<bfloat16> x;
    std::vector<float> w, bias;
};

Int8Weights pack(const Conv2dShape& s, const std::vector<float>& w) {
    return kernels::pack_int8_weights(w.data(), s.out_channels, s.in_channels, s.kernel_height,
                                      s.kernel_width);
}

using kernels::fast::ConvMethod;

std::vector<bfloat16> convolve(const Conv2dShape& s, const Data& d, const Int8Weights& w,
                               ConvMethod method = ConvMethod::direct,
                               const kernels::Added<bfloat16>& added = {}) {
    std::vector<bfloat16> y(
        static_cast<std::size_t>(s.batch * s.out_height() * s.out_width() * s.out_channels),
        bfloat16(99.0f));
    kernels::conv2d(s, d.x.data(), w, d.bias.data(), y.data(), added, nullptr, nullptr, method);
    return y;
}

std::size_t at(int64 i) { return static_cast<std::size_t>(i); }

// The range of x[begin, end) and zero, in double.
std::pair<double, int> range_of(const std::vector<bfloat16>& x, int64 begin, int64 end) {
    double low = 0, high = 0;
    for (int64 i = begin; i < end; ++i) {
        low = std::min(low, static_cast<double>(x[at(i)]));
        high = std::max(high, static_cast<double>(x[at(i)]));
    }
    const double scale = std::max((high - low) / 255, 1e-37);
    return {scale, static_cast<int>(std::lround(-low / scale))};
}

// y = x ∗ w + bias where every w became a whole number and, if so asked, every x a byte, by the
// rules that int8.hpp states.
std::vector<double> expected(const Conv2dShape& s, const Data& d, bool bytes = true) {
    const int64 run = s.in_channels * s.kernel_height * s.kernel_width,
                picture = s.height * s.width * s.in_channels;
    const bool own_ranges =
        s.kernel_height == 1 && s.kernel_width == 1 && s.stride == 1 && s.padding == 0;
    std::vector<double> x, w, y;
    for (int64 i = 0; i < static_cast<int64>(d.x.size()); ++i) {
        const int64 extent = own_ranges ? s.in_channels : picture;
        const auto [scale, zero] = range_of(d.x, i / extent * extent, i / extent * extent + extent);
        const double byte =
            std::clamp(std::nearbyint(static_cast<double>(d.x[at(i)]) / scale) + zero, 0.0, 255.0);
        x.push_back(bytes ? scale * (byte - zero) : static_cast<double>(d.x[at(i)]));
    }
    for (int64 o = 0; o < s.out_channels; ++o) {
        float most = 0;
        for (int64 i = 0; i < run; ++i) most = std::max(most, std::abs(d.w[at(o * run + i)]));
        const double scale = static_cast<double>(most) / 127;
        for (int64 i = 0; i < run; ++i)
            w.push_back(
                scale == 0
                    ? 0
                    : scale * std::nearbyint(static_cast<double>(d.w[at(o * run + i)]) / scale));
    }
    for (int64 b = 0; b < s.batch; ++b)
        for (int64 oy = 0; oy < s.out_height(); ++oy)
            for (int64 ox = 0; ox < s.out_width(); ++ox)
                for (int64 o = 0; o < s.out_channels; ++o) {
                    double sum = static_cast<double>(d.bias[at(o)]);
                    for (int64 ky = 0; ky < s.kernel_height; ++ky)
                        for (int64 kx = 0; kx < s.kernel_width; ++kx) {
                            const int64 iy = oy * s.stride + ky - s.padding,
                                        ix = ox * s.stride + kx - s.padding;
                            if (iy < 0 || iy >= s.height || ix < 0 || ix >= s.width) continue;
                            for (int64 i = 0; i < s.in_channels; ++i)
                                sum += x[at(((b * s.height + iy) * s.width + ix) * s.in_channels +
                                            i)] *
                                       w[at(((o * s.in_channels + i) * s.kernel_height + ky) *
                                                s.kernel_width +
                                            kx)];
                        }
                    y.push_back(sum);
                }
    return y;
}

void check_convolution(const Conv2dShape& s, const Data& d) {
    CAPTURE(s.batch);
    CAPTURE(s.height);
    CAPTURE(s.width);
    CAPTURE(s.in_channels);
    CAPTURE(s.out_channels);
    CAPTURE(s.kernel_height);
    CAPTURE(s.stride);
    CAPTURE(s.padding);
    const std::vector<double> right = expected(s, d);
    double largest = 0;
    for (const double value : right) largest = std::max(largest, std::abs(value));
    std::vector<bfloat16> first;
    for_each_isa([&] {
        const std::vector<bfloat16> y = convolve(s, d, pack(s, d.w));
        // A number between two bytes may become either: now and then one step of one number.
        CHECK(worst_error(y, right, 2e-3 * largest) <= 1);
        if (first.empty()) first = y;
        // Sums are exact; whether the bias is added in the same step may move a result to the
        // neighbouring bfloat16, which is up to twice the error of one rounding away.
        CHECK(worst_error(y, to_double(first), 1e-6 * largest) <= 2);
        for (const bool per_picture : {false, true}) {
            const AddedValues<bfloat16> more(s.batch, s.out_height() * s.out_width(),
                                             s.out_channels, per_picture);
            CHECK(worst_error(convolve(s, d, pack(s, d.w), ConvMethod::direct, more.added),
                              more.plus(right), 2e-3 * largest) <= 1);
        }
    });
}

// batch, height, width, in, out, kernel height, kernel width, stride, padding
const std::vector<Conv2dShape> shapes = {
    {1, 1, 1, 1, 1, 1, 1, 1, 0},    {3, 1, 1, 7, 5, 1, 1, 1, 0},
    {13, 1, 1, 17, 33, 1, 1, 1, 0}, {1, 1, 1, 64, 64, 1, 1, 1, 0},
    {65, 1, 1, 67, 81, 1, 1, 1, 0}, {2, 5, 7, 3, 17, 3, 3, 1, 1},
    {1, 8, 8, 16, 16, 3, 3, 1, 1},  {3, 4, 4, 33, 65, 3, 3, 1, 1},
    {2, 9, 6, 6, 48, 3, 3, 2, 1},   {1, 13, 11, 5, 3, 5, 3, 1, 1},
    {2, 8, 8, 3, 20, 4, 4, 4, 0},   {1, 6, 5, 32, 31, 1, 1, 1, 0},
    {1, 3, 3, 2, 130, 3, 3, 1, 1},  {2, 7, 7, 10, 12, 2, 2, 1, 0},
    {1, 5, 5, 4, 4, 3, 3, 1, 2},    {1, 5, 5, 3, 4, 1, 1, 1, 1},
    {1, 7, 6, 9, 8, 3, 3, 3, 1},    {2, 1, 9, 12, 40, 3, 3, 1, 1},
    {1, 4, 4, 5, 7, 1, 1, 2, 0},    {2, 7, 5, 1100, 33, 3, 3, 1, 1},
    {1, 33, 64, 8, 20, 3, 3, 1, 1}, {97, 1, 1, 1024, 260, 1, 1, 1, 0},
};

}  // namespace

TEST_CASE("3x3 convolutions by Winograd's method round the weights alone to bytes") {
    for (const Conv2dShape& s :
         {Conv2dShape{2, 8, 8, 16, 16, 3, 3, 1, 1}, Conv2dShape{3, 7, 5, 20, 21, 3, 3, 1, 1},
          Conv2dShape{1, 1, 33, 4, 70, 3, 3, 1, 1}, Conv2dShape{1, 9, 6, 36, 100, 3, 3, 1, 0}}) {
        const Data d(s);
        const std::vector<double> right = expected(s, d, false);
        double square = 0;
        for (const double value : right) square += value * value;
        const double size = std::sqrt(square / static_cast<double>(right.size()));
        for_each_isa([&] {
            for (const auto& [method, usual] : {std::pair{ConvMethod::winograd2, 2.7e-3},
                                                std::pair{ConvMethod::winograd4, 8.1e-3}}) {
                CHECK(worst_error(convolve(s, d, pack(s, d.w), method), right, 8 * usual * size) <=
                      1);
                const AddedValues<bfloat16> more(s.batch, s.out_height() * s.out_width(),
                                                 s.out_channels, false);
                CHECK(worst_error(convolve(s, d, pack(s, d.w), method, more.added),
                                  more.plus(right), 8 * usual * size) <= 1);
            }
        });
    }
}

TEST_CASE(
    "a layer with int8 weights takes Winograd's method where it fits, but not on a matrix unit") {
    const Conv2dShape s{2, 16, 16, 32, 32, 3, 3, 1, 1};
    const Data d(s);
    for_each_isa([&] {
        const Int8Weights w = pack(s, d.w);
        std::vector<bfloat16> y(at(s.batch * s.height * s.width * s.out_channels));
        kernels::conv2d(s, d.x.data(), w, d.bias.data(), y.data());
        const bool has_tiles = kernels::current_isa() == kernels::Isa::amx;
        CHECK(same_bits(y,
                        convolve(s, d, w, has_tiles ? ConvMethod::direct : ConvMethod::winograd4)));
    });
}

TEST_CASE("a layer with int8 weights sums what its bytes stand for") {
    for (const Conv2dShape& s : shapes) check_convolution(s, Data(s));
}

TEST_CASE("pictures of a batch have ranges of their own, strips and chunks of sums fit together") {
    for (const Conv2dShape& s :
         {Conv2dShape{2, 61, 37, 5, 18, 3, 3, 1, 1}, Conv2dShape{1, 3, 5, 1907, 20, 3, 3, 1, 1},
          Conv2dShape{1, 2, 2, 4099, 66, 1, 3, 1, 1},
          Conv2dShape{37, 1, 1, 5405, 19, 1, 1, 1, 0}}) {
        Data d(s);
        const int64 picture = s.height * s.width * s.in_channels;
        for (int64 i = picture; i < 2 * picture && s.batch > 1; ++i)
            d.x[at(i)] = bfloat16(100.0f * static_cast<float>(d.x[at(i)]) - 30.0f);
        check_convolution(s, d);
    }
}

TEST_CASE("the longest sum of the largest numbers does not overflow") {
    const int64 in = kernels::longest_int8_sum;
    CHECK(kernels::fits_int8(in, 1, 1));
    CHECK(!kernels::fits_int8(in + 1, 1, 1));
    CHECK(!kernels::fits_int8(in / 9 + 1, 3, 3));
    const Conv2dShape s = {.batch = 2, .in_channels = in, .out_channels = 2};
    for_each_isa([&] {
        for (const float sign : {1.0f, -1.0f}) {
            std::vector<bfloat16> x(at(2 * in), bfloat16(sign));
            std::vector<float> w(at(2 * in), 1.0f);
            std::fill(w.begin() + in, w.end(), -1.0f);
            std::vector<bfloat16> y(4);
            kernels::linear(2, x.data(), pack(s, w), nullptr, y.data());
            const bfloat16 total(sign * static_cast<float>(in)),
                negative(-sign * static_cast<float>(in));
            CHECK(y == std::vector<bfloat16>{total, negative, total, negative});
        }
    });
}

TEST_CASE(
    "zero and constant inputs are exact, and the smallest and largest numbers keep their sums") {
    const Conv2dShape s = {1, 3, 3, 5, 17, 3, 3, 1, 1};
    Data d(s);
    for (float& weight : d.w) weight = weight < 0 ? -1.0f : 1.0f;
    for (const float value : {0.0f, -0.0f, 1.0f, -3.0f, 5e36f, -5e36f, 3e-30f}) {
        CAPTURE(value);
        std::fill(d.x.begin(), d.x.end(), bfloat16(value));
        std::fill(d.bias.begin(), d.bias.end(), 0.0f);
        const std::vector<double> right = expected(s, d);
        const double allowed = 1e-6 * static_cast<double>(std::abs(value)) + 1e-300;
        for_each_isa(
            [&] { CHECK(worst_error(convolve(s, d, pack(s, d.w)), right, allowed) <= 1); });
    }
    // Far apart, and too small for a byte to tell from zero: nothing overflows or divides by zero.
    for (const float value : {3e38f, 1e-39f}) {
        CAPTURE(value);
        for (std::size_t i = 0; i < d.x.size(); ++i) d.x[i] = bfloat16(i % 2 ? value : -value);
        for_each_isa([&] {
            for (const bfloat16 y : convolve(s, d, pack(s, d.w)))
                CHECK(!std::isnan(static_cast<float>(y)));
        });
    }
}

TEST_CASE("what is not finite makes its picture or its row NaN, and no other") {
    const Conv2dShape picture = {2, 5, 5, 3, 20, 3, 3, 1, 1},
                      row = {.batch = 4, .in_channels = 37, .out_channels = 9};
    for (const float value : {infinity, -infinity, std::nanf(""), -std::nanf("")}) {
        CAPTURE(value);
        for (const Conv2dShape& s : {picture, row}) {
            const auto extent = static_cast<std::size_t>(s.height * s.width * s.in_channels);
            for (std::size_t place : {extent, 2 * extent - 1}) {  // of the second picture or row
                Data d(s);
                d.x[place] = bfloat16(value);
                for_each_isa([&] {
                    const std::vector<bfloat16> y = convolve(s, d, pack(s, d.w));
                    const std::size_t each = y.size() / at(s.batch);
                    for (std::size_t i = 0; i < y.size(); ++i)
                        CHECK(std::isnan(static_cast<float>(y[i])) == (i / each == 1));
                });
            }
        }
    }
}

TEST_CASE("a weight that is not finite makes its output NaN, and no other") {
    const Conv2dShape s = {.batch = 3, .in_channels = 21, .out_channels = 40};
    for (const float value : {infinity, -infinity, std::nanf("")}) {
        Data d(s);
        d.w[at(17 * s.in_channels + 20)] = value;
        for_each_isa([&] {
            const std::vector<bfloat16> y = convolve(s, d, pack(s, d.w));
            for (std::size_t i = 0; i < y.size(); ++i)
                CHECK(std::isnan(static_cast<float>(y[i])) == (i % 40 == 17));
        });
    }
}

TEST_CASE("int8 weights come back near what they were, and rounding them again changes nothing") {
    const Conv2dShape s = {
        .in_channels = 19, .out_channels = 35, .kernel_height = 3, .kernel_width = 2};
    Data d(s);
    std::fill_n(d.w.begin() + 3 * 19 * 6, 19 * 6, 0.0f);  // an output without weights
    for_each_isa([&] {
        const Int8Weights once = pack(s, d.w);
        std::vector<float> back(d.w.size()), again(d.w.size());
        kernels::unpack_int8_weights(once, back.data());
        for (std::size_t i = 0; i < back.size(); ++i)
            CHECK(std::abs(back[i] - d.w[i]) <= 0.501f * once.scales()[i / (19 * 6)]);
        const Int8Weights twice = pack(s, back);
        const std::size_t bytes = static_cast<std::size_t>(once.packed().bytes());
        CHECK(std::memcmp(once.packed().data(), twice.packed().data(), bytes) == 0);
        kernels::unpack_int8_weights(twice, again.data());
        for (std::size_t i = 0; i < back.size(); ++i)
            CHECK(std::abs(again[i] - back[i]) <= 2e-7f * std::abs(back[i]));
    });
}

TEST_CASE("int8 weights that come row by row are those that come whole, and their sums are right") {
    for (const Conv2dShape& s :
         {Conv2dShape{.in_channels = 70, .out_channels = 50},
          Conv2dShape{.in_channels = 64, .out_channels = 48},
          Conv2dShape{.in_channels = 5, .out_channels = 3},
          Conv2dShape{
              .in_channels = 19, .out_channels = 35, .kernel_height = 3, .kernel_width = 3}}) {
        Data d(s);
        const int64 run = s.in_channels * s.kernel_height * s.kernel_width;
        for_each_isa([&] {
            d.w[at(run + 1)] = 0.25f;
            const Int8Weights whole = pack(s, d.w);
            int64 bad = 0;
            const Int8Weights rows = kernels::pack_int8_rows(
                whole.packed().layout(), kernels::rows_of(d.w.data(), run), bad);
            CHECK(bad == 0);
            CHECK(std::memcmp(whole.packed().data(), rows.packed().data(),
                              at(whole.packed().bytes())) == 0);
            const auto& layout = whole.packed().layout();
            for (int64 o = 0; o < s.out_channels; ++o) {
                CHECK(whole.scales()[o] == rows.scales()[o]);
                CHECK(whole.sums()[o] == rows.sums()[o]);
                std::int32_t sum = 0;
                for (int64 i = 0; i < s.in_channels; ++i)
                    for (int64 y = 0; y < s.kernel_height; ++y)
                        for (int64 x = 0; x < s.kernel_width; ++x)
                            sum += whole.packed().data()[layout.index(o, i, y, x)];
                CHECK(whole.sums()[o] == sum);
            }
            d.w[at(run + 1)] = infinity;
            const Int8Weights damaged = kernels::pack_int8_rows(
                whole.packed().layout(), kernels::rows_of(d.w.data(), run), bad);
            CHECK(bad == 1);
            for (int64 o = 0; o < s.out_channels; ++o)
                CHECK(std::isnan(damaged.scales()[o]) == (o == 1));
        });
    }
}

TEST_CASE("layers with int8 weights give the same bits for any number of threads") {
    for_each_isa([] {
        for (const Conv2dShape& s : {Conv2dShape{5, 12, 12, 24, 40, 3, 3, 1, 1},
                                     Conv2dShape{200, 1, 1, 70, 50, 1, 1, 1, 0},
                                     Conv2dShape{1, 16, 16, 24, 240, 3, 3, 1, 1},
                                     Conv2dShape{20, 16, 16, 24, 40, 3, 3, 1, 1}}) {
            const Data d(s);
            const Int8Weights w = pack(s, d.w);
            CHECK(independent_of_threads([&] { return convolve(s, d, w); }));
            if (s.kernel_height != 3) continue;
            for (const ConvMethod method : {ConvMethod::winograd2, ConvMethod::winograd4})
                CHECK(independent_of_threads([&] { return convolve(s, d, w, method); }));
        }
    });
}
