// Activations, sums, pooling and conversions against their definitions in double.
#include <functional>
#include <limits>

#include <dalle2/kernels/kernels.hpp>

#include "support.hpp"

using namespace kernel_tests;
using dalle2::Activation;
namespace kernels = dalle2::kernels;

namespace {

double activation(Activation kind, double x) {
    switch (kind) {
        case Activation::silu: return x / (1 + std::exp(-x));
        case Activation::quick_gelu: return x / (1 + std::exp(-1.702 * x));
        case Activation::gelu: return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
        case Activation::none: break;
    }
    return x;
}

constexpr Activation kinds[] = {Activation::none, Activation::silu, Activation::gelu,
                                Activation::quick_gelu};

}  // namespace

TEST_CASE_TEMPLATE("activations and their derivatives are right everywhere, tails included", T,
                   float, bfloat16, double) {
    for_each_isa([] {
        std::vector<T> x;
        for (int i = -3001; i <= 3001; ++i)
            x.push_back(static_cast<T>(static_cast<float>(i) * 0.01f));
        for (float v : {-1e30f, -500.0f, -100.0f, 100.0f, 1e30f}) x.push_back(static_cast<T>(v));
        const std::vector<T> dy(x.size(), T(1.0f));
        const auto n = static_cast<int64>(x.size());
        for (Activation kind : kinds) {
            CAPTURE(static_cast<int>(kind));
            std::vector<double> expected, slopes;
            for (T v : x) {
                const double value = static_cast<double>(v), h = 1e-5;
                expected.push_back(activation(kind, value));
                slopes.push_back(std::abs(value) > 99
                                     ? (value > 0 || kind == Activation::none ? 1.0 : 0.0)
                                     : (activation(kind, value + h) - activation(kind, value - h)) /
                                           (2 * h));
            }
            std::vector<T> y(x.size()), dx(x.size());
            kernels::activate(kind, n, x.data(), y.data());
            CHECK(worst_error(y, expected, std::is_same_v<T, double> ? 1e-14 : 6e-7) <= 1);
            kernels::activate_backward(kind, n, x.data(), dy.data(), dx.data());
            CHECK(worst_error(dx, slopes, std::is_same_v<T, double> ? 1e-9 : 1e-6) <= 1);
        }
    });
}

TEST_CASE_TEMPLATE("NaN goes through activations, and only through its own element", T, float,
                   bfloat16) {
    for_each_isa([] {
        std::vector<T> x(37, T(0.5f)), y(37);
        x[5] = x[33] = std::numeric_limits<T>::quiet_NaN();
        for (Activation kind : kinds) {
            kernels::activate(kind, 37, x.data(), y.data());
            for (std::size_t i = 0; i < y.size(); ++i)
                CHECK(std::isnan(static_cast<float>(y[i])) == (i == 5 || i == 33));
        }
    });
}

TEST_CASE_TEMPLATE("sums and scalings are what they say, in place too", T, float, bfloat16,
                   double) {
    for_each_isa([] {
        for (int64 n : {1, 15, 16, 17, 100, 20011}) {
            const auto a = random_values<T>(n, 1), b = random_values<T>(n, 2);
            std::vector<double> sum, scaled;
            for (std::size_t i = 0; i < a.size(); ++i) {
                sum.push_back(static_cast<double>(a[i]) + static_cast<double>(b[i]));
                scaled.push_back(static_cast<double>(a[i]) * 0.37);
            }
            auto y = a;
            kernels::add(n, y.data(), b.data(), y.data());
            CHECK(worst_error(y, sum, 1e-30) <= 1);
            y = a;
            kernels::scale(n, 0.37, y.data(), y.data());
            CHECK(worst_error(y, scaled, rounding<Accumulator<T>>) <= 1);
        }
    });
}

TEST_CASE_TEMPLATE("rows and channels are added and summed", T, float, bfloat16, double) {
    for_each_isa([] {
        for (int64 batch : {1, 3})
            for (int64 pixels : {1, 4, 7})
                for (int64 channels : {1, 16, 37, 300}) {
                    const auto x = random_values<T>(batch * pixels * channels, 1);
                    const auto v = random_values<T>(batch * channels, 2);
                    const auto at = [&](int64 b, int64 p, int64 c) {
                        return static_cast<std::size_t>((b * pixels + p) * channels + c);
                    };
                    std::vector<double> per_channel(x.size()), repeated(x.size()),
                        channel_sums(v.size()), outer_sums(static_cast<std::size_t>(channels));
                    for (int64 b = 0; b < batch; ++b)
                        for (int64 p = 0; p < pixels; ++p)
                            for (int64 c = 0; c < channels; ++c) {
                                const double value = static_cast<double>(x[at(b, p, c)]);
                                const auto slot = static_cast<std::size_t>(b * channels + c);
                                per_channel[at(b, p, c)] = value + static_cast<double>(v[slot]);
                                repeated[at(b, p, c)] =
                                    value + static_cast<double>(v[static_cast<std::size_t>(c)]);
                                channel_sums[slot] += value;
                                outer_sums[static_cast<std::size_t>(c)] += value;
                            }
                    std::vector<T> y(x.size()), dv(v.size()),
                        db(static_cast<std::size_t>(channels));
                    const double allowed = 20 * rounding<Accumulator<T>>;
                    kernels::add_per_channel(batch, pixels, channels, x.data(), v.data(), y.data());
                    CHECK(worst_error(y, per_channel, allowed) <= 1);
                    kernels::add_repeated(batch * pixels, channels, x.data(), v.data(), y.data());
                    CHECK(worst_error(y, repeated, allowed) <= 1);
                    kernels::sum_per_channel(batch, pixels, channels, x.data(), dv.data());
                    CHECK(worst_error(dv, channel_sums, allowed) <= 1);
                    kernels::sum_repeated(batch * pixels, channels, x.data(), db.data());
                    CHECK(worst_error(db, outer_sums, allowed) <= 1);
                }
    });
}

TEST_CASE_TEMPLATE("what is added per channel reaches every piece of a large picture", T, float,
                   bfloat16, double) {
    constexpr int64 batch = 2, pixels = 131, channels = 300;
    const auto x = random_values<T>(batch * pixels * channels, 1);
    const auto v = random_values<T>(batch * channels, 2);
    std::vector<double> sums(x.size());
    for (std::size_t i = 0; i < sums.size(); ++i)
        sums[i] = static_cast<double>(x[i]) +
                  static_cast<double>(v[i / (pixels * channels) * channels + i % channels]);
    for_each_isa([&] {
        std::vector<T> y(x.size());
        kernels::add_per_channel(batch, pixels, channels, x.data(), v.data(), y.data());
        CHECK(worst_error(y, sums, rounding<Accumulator<T>>) <= 1);
    });
}

TEST_CASE_TEMPLATE(
    "pooling and upsampling are what they say, and their gradients are their transposes", T, float,
    bfloat16, double) {
    for_each_isa([] {
        for (int64 height : {2, 5, 8})
            for (int64 width : {2, 4, 7})
                for (int64 channels : {1, 16, 35}) {
                    const int64 batch = 2, rows = height / 2, columns = width / 2;
                    const auto x = random_values<T>(batch * height * width * channels, 1);
                    const auto g = random_values<T>(batch * rows * columns * channels, 2);
                    const auto big = random_values<T>(batch * 4 * height * width * channels, 3);
                    std::vector<double> pooled(g.size()), dx(x.size()), up(big.size()),
                        down(x.size());
                    for (int64 b = 0; b < batch; ++b)
                        for (int64 i = 0; i < height * 2; ++i)
                            for (int64 j = 0; j < width * 2; ++j)
                                for (int64 c = 0; c < channels; ++c) {
                                    const auto small = static_cast<std::size_t>(
                                        ((b * height + i / 2) * width + j / 2) * channels + c);
                                    const auto large = static_cast<std::size_t>(
                                        ((b * height * 2 + i) * width * 2 + j) * channels + c);
                                    up[large] = static_cast<double>(x[small]);
                                    down[small] += static_cast<double>(big[large]);
                                    if (i >= rows * 2 || j >= columns * 2) continue;
                                    const auto in = static_cast<std::size_t>(
                                        ((b * height + i) * width + j) * channels + c);
                                    const auto out = static_cast<std::size_t>(
                                        ((b * rows + i / 2) * columns + j / 2) * channels + c);
                                    pooled[out] += 0.25 * static_cast<double>(x[in]);
                                    dx[in] = 0.25 * static_cast<double>(g[out]);
                                }
                    const double allowed = 8 * rounding<Accumulator<T>>;
                    std::vector<T> y(g.size()), z(x.size(), T(9.0f)), large(big.size());
                    kernels::average_pool2(batch, height, width, channels, x.data(), y.data());
                    CHECK(worst_error(y, pooled, allowed) <= 1);
                    kernels::average_pool2_backward(batch, height, width, channels, g.data(),
                                                    z.data());
                    CHECK(worst_error(z, dx, allowed) <= 1);
                    kernels::upsample_nearest2(batch, height, width, channels, x.data(),
                                               large.data());
                    CHECK(worst_error(large, up, allowed) <= 1);
                    kernels::upsample_nearest2_backward(batch, height, width, channels, big.data(),
                                                        z.data());
                    CHECK(worst_error(z, down, allowed) <= 1);
                }
    });
}

TEST_CASE("conversions to bfloat16 round to nearest even, and keep NaN and infinity") {
    for_each_isa([] {
        std::vector<float> x = {0.0f,
                                -0.0f,
                                1.0f,
                                1.00390625f,
                                1.01171875f,
                                -1.00390625f,
                                3.3e38f,
                                1e-30f,
                                0.1f,
                                std::numeric_limits<float>::infinity(),
                                -std::numeric_limits<float>::infinity()};
        for (float v : random_values<float>(1000, 5)) x.push_back(v * 1000);
        const auto n = static_cast<int64>(x.size());
        std::vector<bfloat16> y(x.size());
        std::vector<float> back(x.size());
        kernels::convert_from_float(n, x.data(), y.data());
        kernels::convert_to_float(n, y.data(), back.data());
        for (std::size_t i = 0; i < x.size(); ++i) {
            CHECK(static_cast<float>(y[i]) == static_cast<float>(static_cast<bfloat16>(x[i])));
            CHECK(back[i] == static_cast<float>(y[i]));
        }
        const float nan = std::numeric_limits<float>::quiet_NaN();
        kernels::convert_from_float(1, &nan, y.data());
        CHECK(std::isnan(static_cast<float>(y[0])));
    });
}
