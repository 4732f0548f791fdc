// Linear layers and convolutions against loops in double, for every instruction set and scalar
// type.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <dalle2/kernels/kernels.hpp>

#include "support.hpp"

using namespace kernel_tests;
using dalle2::kernels::Conv2dShape;
namespace kernels = dalle2::kernels;

namespace {

struct Naive {
    std::vector<double> y, dx, dw, dbias;
};

// Everything about y = x ∗ w + bias, straight from its definition.
Naive naive_convolution(const Conv2dShape& s, const std::vector<double>& x,
                        const std::vector<double>& w, const std::vector<double>& bias,
                        const std::vector<double>& dy) {
    Naive n;
    n.y.resize(dy.size());
    n.dx.resize(x.size());
    n.dw.resize(w.size());
    n.dbias.resize(bias.size());
    for (int64 b = 0; b < s.batch; ++b)
        for (int64 oy = 0; oy < s.out_height(); ++oy)
            for (int64 ox = 0; ox < s.out_width(); ++ox)
                for (int64 o = 0; o < s.out_channels; ++o) {
                    const auto at = static_cast<std::size_t>(
                        ((b * s.out_height() + oy) * s.out_width() + ox) * s.out_channels + o);
                    double sum = bias[static_cast<std::size_t>(o)];
                    n.dbias[static_cast<std::size_t>(o)] += dy[at];
                    for (int64 ky = 0; ky < s.kernel_height; ++ky)
                        for (int64 kx = 0; kx < s.kernel_width; ++kx) {
                            const int64 iy = oy * s.stride + ky - s.padding,
                                        ix = ox * s.stride + kx - s.padding;
                            if (iy < 0 || iy >= s.height || ix < 0 || ix >= s.width) continue;
                            for (int64 i = 0; i < s.in_channels; ++i) {
                                const auto from = static_cast<std::size_t>(
                                    ((b * s.height + iy) * s.width + ix) * s.in_channels + i);
                                const auto weight = static_cast<std::size_t>(
                                    ((o * s.in_channels + i) * s.kernel_height + ky) *
                                        s.kernel_width +
                                    kx);
                                sum += x[from] * w[weight];
                                n.dx[from] += dy[at] * w[weight];
                                n.dw[weight] += dy[at] * x[from];
                            }
                        }
                    n.y[at] = sum;
                }
    return n;
}

template <class T>
struct Data {
    explicit Data(const Conv2dShape& s)
        : x(random_values<T>(s.batch * s.height * s.width * s.in_channels, 1)),
          dy(random_values<T>(s.batch * s.out_height() * s.out_width() * s.out_channels, 2)),
          rounded(random_values<T>(
              s.out_channels * s.in_channels * s.kernel_height * s.kernel_width, 3)),
          w(rounded.begin(), rounded.end()),
          bias(random_values<Accumulator<T>>(s.out_channels, 4)) {}

    std::vector<T> x, dy, rounded;
    std::vector<Accumulator<T>> w, bias;
};

// Rounding of sums of `terms` products, each at most 1, in the accumulator's precision.
template <class T>
double sum_error(int64 terms) {
    return rounding<Accumulator<T>> * (2 * static_cast<double>(terms) + 8);
}

using kernels::fast::ConvMethod;

// What a method's own roundings may add to a sum of `terms` products of numbers between -1 and 1,
// whose own size is √terms/3: twelve times the usual error. In double no method but the direct one.
template <class T>
double method_error(ConvMethod method, int64 terms) {
    if (method == ConvMethod::direct) return 0;
    const double small = method == ConvMethod::winograd2 ? 1 : 3;
    const double relative = small * (std::is_same_v<T, float> ? 4e-7 : 2.7e-3);
    return 12 * relative * std::sqrt(static_cast<double>(terms)) / 3;
}

// The method that conv2d takes by itself.
template <class T>
ConvMethod chosen_method(const Conv2dShape& s, const kernels::PackedWeights<T>& w) {
    if constexpr (std::is_same_v<T, double>)
        return ConvMethod::direct;
    else
        return kernels::fast::conv_method(
            kernels::fast::conv_problem<T>(s, nullptr, w, nullptr, {}, nullptr));
}

template <class T>
void check_convolution(const Conv2dShape& s) {
    CAPTURE(s.batch);
    CAPTURE(s.height);
    CAPTURE(s.width);
    CAPTURE(s.in_channels);
    CAPTURE(s.out_channels);
    CAPTURE(s.kernel_height);
    CAPTURE(s.kernel_width);
    CAPTURE(s.stride);
    CAPTURE(s.padding);
    const Data<T> d(s);
    const Naive expected =
        naive_convolution(s, to_double(d.x), to_double(d.w), to_double(d.bias), to_double(d.dy));
    for_each_isa([&] {
        const auto packed = kernels::pack_weights<T>(d.w.data(), s.out_channels, s.in_channels,
                                                     s.kernel_height, s.kernel_width);
        const auto transposed = kernels::pack_weights_transposed<T>(
            d.w.data(), s.out_channels, s.in_channels, s.kernel_height, s.kernel_width);
        const int64 taps = s.kernel_height * s.kernel_width;
        std::vector<T> y(d.dy.size(), T(99.0f)), dx(d.x.size(), T(99.0f));
        kernels::conv2d(s, d.x.data(), packed, d.bias.data(), y.data());
        CHECK(worst_error(y, expected.y,
                          sum_error<T>(s.in_channels * taps) +
                              method_error<T>(chosen_method(s, packed), s.in_channels * taps)) <=
              1);
        for (const bool per_picture : {false, true}) {
            CAPTURE(per_picture);
            const AddedValues<T> more(s.batch, s.out_height() * s.out_width(), s.out_channels,
                                      per_picture);
            kernels::conv2d(s, d.x.data(), packed, d.bias.data(), y.data(), more.added);
            CHECK(worst_error(
                      y, more.plus(expected.y),
                      sum_error<T>(s.in_channels * taps + 1) +
                          method_error<T>(chosen_method(s, packed), s.in_channels * taps)) <= 1);
        }
        kernels::conv2d_input_gradient(s, d.dy.data(), transposed, dx.data());
        Conv2dShape backward = s;
        std::swap(backward.in_channels, backward.out_channels);
        CHECK(worst_error(dx, expected.dx,
                          sum_error<T>(s.out_channels * taps) +
                              method_error<T>(chosen_method(backward, transposed),
                                              s.out_channels * taps)) <= 1);

        // The weights' gradients are added to what is there.
        std::vector<Accumulator<T>> dw(d.w.size(), 2), dbias(d.bias.size(), 3);
        kernels::conv2d_weight_gradient(s, d.x.data(), d.dy.data(), dw.data(), dbias.data());
        auto dw_expected = expected.dw, dbias_expected = expected.dbias;
        for (double& value : dw_expected) value += 2;
        for (double& value : dbias_expected) value += 3;
        const double allowed = sum_error<T>(s.batch * s.out_height() * s.out_width());
        CHECK(worst_error(dw, dw_expected, allowed) <= 1);
        CHECK(worst_error(dbias, dbias_expected, allowed) <= 1);

        std::vector<Accumulator<T>> without_bias(d.w.size(), 2);
        kernels::conv2d_weight_gradient<T>(s, d.x.data(), d.dy.data(), without_bias.data(),
                                           nullptr);
        CHECK(same_bits(without_bias, dw));

        // Or replace it, whatever it is.
        constexpr auto nothing = std::numeric_limits<Accumulator<T>>::quiet_NaN();
        std::vector<Accumulator<T>> replaced(d.w.size(), nothing);
        kernels::conv2d_weight_gradient<T>(s, d.x.data(), d.dy.data(), replaced.data(), nullptr,
                                           false);
        CHECK(worst_error(replaced, expected.dw, allowed) <= 1);
    });
}

// batch, height, width, in, out, kernel height, kernel width, stride, padding
const std::vector<Conv2dShape> shapes = {
    {1, 1, 1, 1, 1, 1, 1, 1, 0},   {3, 1, 1, 7, 5, 1, 1, 1, 0},   {13, 1, 1, 17, 33, 1, 1, 1, 0},
    {2, 5, 7, 3, 17, 3, 3, 1, 1},  {1, 8, 8, 16, 16, 3, 3, 1, 1}, {3, 4, 4, 33, 65, 3, 3, 1, 1},
    {2, 9, 6, 6, 48, 3, 3, 2, 1},  {1, 13, 11, 5, 3, 5, 3, 1, 1}, {2, 8, 8, 3, 20, 4, 4, 4, 0},
    {1, 6, 5, 32, 31, 1, 1, 1, 0}, {1, 3, 3, 2, 130, 3, 3, 1, 1}, {2, 7, 7, 10, 12, 2, 2, 1, 0},
    {1, 5, 5, 4, 4, 3, 3, 1, 2},   {1, 5, 5, 3, 4, 1, 1, 1, 1},   {1, 7, 6, 9, 8, 3, 3, 3, 1},
    {2, 1, 9, 12, 40, 3, 3, 1, 1}, {2, 5, 6, 32, 48, 3, 2, 1, 1}, {9, 1, 1, 48, 32, 1, 1, 1, 0},
    {1, 6, 5, 16, 16, 5, 5, 1, 2},
};

}  // namespace

TEST_CASE_TEMPLATE("a convolution and its gradients are what their definition says", T, float,
                   bfloat16, double) {
    for (const Conv2dShape& shape : shapes) check_convolution<T>(shape);
}

// By a method that is named instead of chosen.
template <class T>
std::vector<T> convolve(const Conv2dShape& s, const Data<T>& d, ConvMethod method,
                        const kernels::Added<T>& added = {}) {
    const auto packed = kernels::pack_weights<T>(d.w.data(), s.out_channels, s.in_channels, 3, 3);
    std::vector<T> y(d.dy.size(), T(99.0f));
    kernels::fast::run(
        kernels::fast::conv_problem(s, d.x.data(), packed, d.bias.data(), added, y.data()), method);
    return y;
}

TEST_CASE_TEMPLATE("every method of a 3x3 convolution gives the same sums", T, float, bfloat16) {
    const Conv2dShape shapes[] = {
        {2, 8, 8, 16, 16, 3, 3, 1, 1},    // whole tiles
        {3, 7, 5, 18, 21, 3, 3, 1, 1},    // tiles that leave the picture; odd panels
        {1, 1, 1, 2, 1, 3, 3, 1, 1},      // one pixel
        {1, 1, 33, 4, 70, 3, 3, 1, 1},    // one row; more than four panels
        {2, 6, 9, 34, 16, 3, 3, 1, 0},    // no padding
        {1, 5, 6, 6, 80, 3, 3, 1, 2},     // the whole of it outside, too
        {1, 70, 66, 20, 20, 3, 3, 1, 1},  // strips
        {9, 4, 4, 160, 96, 3, 3, 1, 1},   // several pictures to a block
    };
    for (const Conv2dShape& s : shapes) {
        CAPTURE(s.height);
        CAPTURE(s.in_channels);
        const Data<T> d(s);
        const Naive expected = naive_convolution(s, to_double(d.x), to_double(d.w),
                                                 to_double(d.bias), to_double(d.dy));
        for_each_isa([&] {
            for (const ConvMethod method :
                 {ConvMethod::direct, ConvMethod::winograd2, ConvMethod::winograd4}) {
                CAPTURE(static_cast<int>(method));
                const double allowed = sum_error<T>(9 * s.in_channels + 1) +
                                       method_error<T>(method, 9 * s.in_channels);
                CHECK(worst_error(convolve(s, d, method), expected.y, allowed) <= 1);
                for (const bool per_picture : {false, true}) {
                    const AddedValues<T> more(s.batch, s.out_height() * s.out_width(),
                                              s.out_channels, per_picture);
                    CHECK(worst_error(convolve(s, d, method, more.added), more.plus(expected.y),
                                      allowed) <= 1);
                }
            }
        });
    }
}

TEST_CASE_TEMPLATE("Winograd's method gives the same bits for any number of threads", T, float,
                   bfloat16) {
    for (const Conv2dShape& s :
         {Conv2dShape{1, 70, 66, 20, 40, 3, 3, 1, 1}, Conv2dShape{5, 8, 8, 32, 200, 3, 3, 1, 1}}) {
        const Data<T> d(s);
        for_each_isa([&] {
            for (const ConvMethod method : {ConvMethod::winograd2, ConvMethod::winograd4})
                CHECK(independent_of_threads([&] { return convolve(s, d, method); }));
        });
    }
}

TEST_CASE_TEMPLATE("what is not finite stays in its picture, by every method", T, float, bfloat16) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    for (const Conv2dShape& s :
         {Conv2dShape{3, 4, 4, 16, 17, 3, 3, 1, 1}, Conv2dShape{3, 9, 7, 18, 20, 3, 3, 1, 1}}) {
        const Data<T> d(s);
        const int64 row = 1, column = s.width - 1;  // of the second picture
        for_each_isa([&] {
            for (const ConvMethod method :
                 {ConvMethod::direct, ConvMethod::winograd2, ConvMethod::winograd4})
                for (const float value : {infinity, -infinity, std::nanf("")}) {
                    CAPTURE(static_cast<int>(method));
                    CAPTURE(value);
                    const std::vector<T> before = convolve(s, d, method);
                    Data<T> spoilt = d;
                    spoilt.x[static_cast<std::size_t>(((s.height + row) * s.width + column) *
                                                      s.in_channels)] = T(value);
                    const std::vector<T> after = convolve(s, spoilt, method);
                    const auto picture = static_cast<std::ptrdiff_t>(before.size()) / 3;
                    const auto same = [&](int64 b) {
                        return std::equal(before.begin() + b * picture,
                                          before.begin() + (b + 1) * picture,
                                          after.begin() + b * picture);
                    };
                    CHECK(same(0));
                    CHECK(same(2));
                    // The pixels that see it.
                    bool finite = false;
                    for (int64 y = row - 1; y <= row + 1; ++y)
                        for (int64 x = column - 1; x <= column; ++x)
                            for (int64 o = 0; o < s.out_channels; ++o)
                                finite =
                                    finite ||
                                    std::isfinite(static_cast<float>(after[static_cast<std::size_t>(
                                        ((s.height + y) * s.width + x) * s.out_channels + o)]));
                    CHECK(!finite);
                }
        });
    }
}

TEST_CASE("a convolution takes Winograd's method where it is possible and pays") {
    const auto method = [](const Conv2dShape& s) {
        const std::vector<float> w(static_cast<std::size_t>(s.out_channels * s.in_channels *
                                                            s.kernel_height * s.kernel_width));
        return chosen_method(
            s, kernels::pack_weights<bfloat16>(w.data(), s.out_channels, s.in_channels,
                                               s.kernel_height, s.kernel_width));
    };
    for_each_isa([&] {
        const bool pays = kernels::current_isa() != kernels::Isa::amx;
        CHECK((method({2, 32, 32, 64, 64, 3, 3, 1, 1}) == ConvMethod::winograd4) == pays);
        CHECK((method({2, 8, 8, 64, 64, 3, 3, 1, 1}) == ConvMethod::winograd2) == pays);
    });
    CHECK(method({1, 4, 4, 64, 64, 3, 3, 1, 1}) == ConvMethod::direct);
    CHECK(method({2, 32, 32, 64, 64, 3, 3, 2, 1}) == ConvMethod::direct);
    CHECK(method({2, 32, 32, 64, 64, 1, 1, 1, 0}) == ConvMethod::direct);
    CHECK(method({2, 32, 32, 65, 64, 3, 3, 1, 1}) == ConvMethod::direct);
    CHECK(method({2, 32, 32, 3, 64, 3, 3, 1, 1}) == ConvMethod::direct);
}

TEST_CASE_TEMPLATE("sums that are cut into chunks are whole in the end", T, float, bfloat16) {
    check_convolution<T>(
        {1, 3, 5, 907, 20, 3, 3, 1, 1});  // chunks of kernel rows, and of runs for bfloat16
    check_convolution<T>({1, 2, 2, 2049, 66, 1, 3, 1, 1});  // chunks of one run
    check_convolution<T>({37, 1, 1, 2701, 19, 1, 1, 1, 0});
}

// (A copy of such rows lies otherwise in memory, where matrix units want that.)
TEST_CASE_TEMPLATE("rows whose length is a power of two meet their weights", T, float, bfloat16) {
    check_convolution<T>({803, 1, 1, 512, 260, 1, 1, 1, 0});
    check_convolution<T>({5, 9, 17, 512, 256, 1, 1, 1, 0});
}

// (For the sake of matrix units, as the next.)
TEST_CASE("rows too long for a cache meet the weights in passes") {
    check_convolution<bfloat16>({163, 1, 1, 4200, 100, 1, 1, 1, 0});
}

TEST_CASE("results too many for a cache are the same past it") {
    const Conv2dShape s{70001, 1, 1, 6, 64, 1, 1, 1, 0};
    const Data<bfloat16> d(s);
    const int64 count = s.batch * s.out_channels;
    for_each_isa([&] {
        const auto packed =
            kernels::pack_weights<bfloat16>(d.w.data(), s.out_channels, s.in_channels, 1, 1);
        // Those that do not begin with a line of the caches go into them.
        const kernels::AlignedBuffer<bfloat16> buffer(2 * count + 1);
        bfloat16 *past = buffer.get(), *usual = past + count + 1;
        const AddedValues<bfloat16> more(s.batch, 1, s.out_channels, false);
        for (const kernels::Added<bfloat16>& added : {kernels::Added<bfloat16>{}, more.added}) {
            kernels::conv2d(s, d.x.data(), packed, d.bias.data(), past, added);
            kernels::conv2d(s, d.x.data(), packed, d.bias.data(), usual, added);
            CHECK(std::memcmp(past, usual, static_cast<std::size_t>(count) * sizeof(bfloat16)) ==
                  0);
        }
    });
    check_convolution<bfloat16>(s);
}

TEST_CASE("a convolution finds the moments of its result on a matrix unit, if any") {
    // One of strips of a picture, one of whole pictures.
    for (const Conv2dShape& s :
         {Conv2dShape{2, 68, 64, 6, 96, 3, 3, 1, 1}, Conv2dShape{5, 12, 32, 34, 320, 3, 3, 1, 1}}) {
        Data<bfloat16> d(s);
        for (float& value : d.bias) value = 20 + value;  // means far from zero
        const int64 pixels = s.height * s.width;
        const AddedValues<bfloat16> more(s.batch, pixels, s.out_channels, false);
        for_each_isa([&] {
            const auto packed =
                kernels::pack_weights<bfloat16>(d.w.data(), s.out_channels, s.in_channels, 3, 3);
            std::vector<bfloat16> y(d.dy.size());
            const auto convolve = [&] {
                kernels::ChannelMoments found;
                kernels::conv2d(s, d.x.data(), packed, d.bias.data(), y.data(), more.added, &found);
                return found;
            };
            const kernels::ChannelMoments found = convolve();
            REQUIRE(found.empty() == (kernels::current_isa() != kernels::Isa::amx));
            if (found.empty()) return;
            // (y is rounded to bfloat16, of which means see little.)
            for (int64 b = 0; b < s.batch; ++b)
                for (int64 c = 0; c < s.out_channels; ++c) {
                    double mean = 0, square = 0;
                    for (int64 i = 0; i < pixels; ++i) {
                        const auto value = static_cast<double>(
                            y[static_cast<std::size_t>((b * pixels + i) * s.out_channels + c)]);
                        mean += value / static_cast<double>(pixels);
                        square += value * value / static_cast<double>(pixels);
                    }
                    const double variance = square - mean * mean;
                    CHECK(found.means(b)[c] == doctest::Approx(mean).epsilon(1e-3));
                    CHECK(found.variances(b)[c] == doctest::Approx(variance).epsilon(5e-3));
                }
            CHECK(independent_of_threads([&] {
                const kernels::ChannelMoments again = convolve();
                return std::vector<float>(again.means(0),
                                          again.means(s.batch - 1) + 2 * s.out_channels);
            }));
        });
    }
}

TEST_CASE_TEMPLATE("pictures larger than a block are cut into strips that fit together", T, float,
                   bfloat16) {
    check_convolution<T>({2, 61, 37, 5, 18, 3, 3, 1, 1});
    // (Strips of some columns, for the sake of matrix units, as the next.)
    check_convolution<T>({2, 61, 64, 6, 18, 3, 3, 1, 1});
    check_convolution<T>({1, 41, 192, 4, 33, 3, 5, 2, 2});
}

TEST_CASE_TEMPLATE("pictures narrower than a tile meet the columns of the kernel in turn", T, float,
                   bfloat16) {
    check_convolution<T>({2, 8, 8, 600, 40, 3, 3, 1, 1});
    check_convolution<T>({3, 5, 15, 530, 70, 2, 5, 1, 2});
}

TEST_CASE_TEMPLATE("gradients of weights are sums over all chunks of pixels", T, float, bfloat16) {
    check_convolution<T>({5, 40, 40, 24, 20, 3, 3, 1, 1});  // chunks of pictures or pairs
    check_convolution<T>({1, 90, 50, 40, 35, 1, 3, 1, 1});  // strips of one picture
    check_convolution<T>({2801, 1, 1, 90, 70, 1, 1, 1, 0});
    // As many pixels and channels as are packed in two turns.
    check_convolution<T>({2801, 1, 1, 150, 110, 1, 1, 1, 0});
    check_convolution<T>({3, 28, 27, 140, 120, 1, 3, 1, 1});
}

TEST_CASE_TEMPLATE("a linear layer is a product of matrices, and adds its weights' gradient", T,
                   float, bfloat16, double) {
    for_each_isa([] {
        for (int64 rows : {1, 7, 65})
            for (int64 in : {1, 20, 67})
                for (int64 out : {3, 64, 81}) {
                    const Data<T> d({.batch = rows, .in_channels = in, .out_channels = out});
                    const auto packed = kernels::pack_weights<T>(d.w.data(), out, in, 1, 1);
                    std::vector<double> expected(d.dy.size()), dw_expected(d.w.size());
                    for (int64 r = 0; r < rows; ++r)
                        for (int64 o = 0; o < out; ++o)
                            for (int64 i = 0; i < in; ++i) {
                                const auto xi = static_cast<std::size_t>(r * in + i),
                                           wi = static_cast<std::size_t>(o * in + i),
                                           yi = static_cast<std::size_t>(r * out + o);
                                expected[yi] +=
                                    static_cast<double>(d.x[xi]) * static_cast<double>(d.w[wi]);
                                dw_expected[wi] +=
                                    static_cast<double>(d.x[xi]) * static_cast<double>(d.dy[yi]);
                            }
                    std::vector<T> y(d.dy.size());
                    kernels::linear<T>(rows, d.x.data(), packed, nullptr, y.data());
                    CHECK(worst_error(y, expected, sum_error<T>(in)) <= 1);
                    std::vector<Accumulator<T>> dw(d.w.size());
                    kernels::linear_weight_gradient<T>(rows, in, out, d.x.data(), d.dy.data(),
                                                       dw.data(), nullptr);
                    CHECK(worst_error(dw, dw_expected, sum_error<T>(rows)) <= 1);
                }
    });
}

TEST_CASE_TEMPLATE("packed weights unpack to what they were", T, float, bfloat16, double) {
    for_each_isa([] {
        for (const Conv2dShape& s :
             {Conv2dShape{1, 1, 1, 19, 35, 3, 2, 1, 1}, Conv2dShape{1, 1, 1, 32, 35, 3, 3, 1, 1},
              Conv2dShape{1, 1, 1, 48, 32, 1, 1, 1, 0}, Conv2dShape{1, 2, 3, 16, 16, 2, 3, 1, 0},
              Conv2dShape{1, 1, 1, 16, 17, 5, 5, 1, 2}, Conv2dShape{1, 1, 1, 32, 48, 3, 3, 1, 1},
              Conv2dShape{1, 1, 1, 16, 32, 5, 5, 1, 2}}) {
            CAPTURE(s.in_channels);
            const Data<T> d(s);
            const auto packed = kernels::pack_weights<T>(d.w.data(), s.out_channels, s.in_channels,
                                                         s.kernel_height, s.kernel_width);
            std::vector<Accumulator<T>> back(d.w.size());
            kernels::unpack_weights(packed, back.data());
            CHECK(same_bits(back, d.w));
            CHECK(packed.bytes() >= static_cast<int64>(d.w.size() * sizeof(T)));
            // Those for the input gradient have no inverse, but plain loops.
            const auto transposed = kernels::pack_weights_transposed<T>(
                d.w.data(), s.out_channels, s.in_channels, s.kernel_height, s.kernel_width);
            std::vector<T> expected(static_cast<std::size_t>(transposed.layout().size()));
            kernels::plain::pack(kernels::PackSource<T>{d.w.data(), transposed.layout(), true},
                                 expected.data());
            CHECK(std::equal(expected.begin(), expected.end(), transposed.data()));
        }
    });
}

TEST_CASE_TEMPLATE("convolutions give the same bits for any number of threads", T, float,
                   bfloat16) {
    for_each_isa([] {
        for (const Conv2dShape& s : {Conv2dShape{5, 12, 12, 24, 40, 3, 3, 1, 1},
                                     Conv2dShape{200, 1, 1, 70, 50, 1, 1, 1, 0},
                                     Conv2dShape{20, 16, 16, 24, 40, 3, 3, 1, 1}}) {
            const Data<T> d(s);
            const auto packed = kernels::pack_weights<T>(d.w.data(), s.out_channels, s.in_channels,
                                                         s.kernel_height, s.kernel_width);
            const auto transposed = kernels::pack_weights_transposed<T>(
                d.w.data(), s.out_channels, s.in_channels, s.kernel_height, s.kernel_width);
            CHECK(independent_of_threads([&] {
                std::vector<T> y(d.dy.size());
                kernels::conv2d(s, d.x.data(), packed, d.bias.data(), y.data());
                return y;
            }));
            CHECK(independent_of_threads([&] {
                std::vector<T> dx(d.x.size());
                kernels::conv2d_input_gradient(s, d.dy.data(), transposed, dx.data());
                return dx;
            }));
            CHECK(independent_of_threads([&] {
                std::vector<Accumulator<T>> dw(d.w.size() + d.bias.size());
                kernels::conv2d_weight_gradient(s, d.x.data(), d.dy.data(), dw.data(),
                                                dw.data() + d.w.size());
                return dw;
            }));
        }
    });
}
