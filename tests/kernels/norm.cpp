// Normalisations: double against the definition and finite differences, the others against double.
#include <functional>

#include <dalle2/kernels/kernels.hpp>

#include "support.hpp"

using namespace kernel_tests;
using dalle2::Activation;
using dalle2::kernels::GroupNormShape;
namespace kernels = dalle2::kernels;

namespace {

template <class T>
struct GroupNorm {
    GroupNormShape shape;
    bool modulated;
    std::vector<T> x, modulation, dy, y, dx, dmodulation;
    std::vector<Accumulator<T>> scale, shift, mean, inverse, dscale, dshift;

    // The same numbers for every T, all of them exact in bfloat16.
    GroupNorm(const GroupNormShape& s, bool with_modulation)
        : shape(s), modulated(with_modulation) {
        const auto values = [](int64 count, unsigned seed) {
            const auto exact = random_values<bfloat16>(count, seed);
            return std::vector<T>(exact.begin(), exact.end());
        };
        const auto parameters = [](int64 count, unsigned seed) {
            const auto exact = random_values<bfloat16>(count, seed);
            return std::vector<Accumulator<T>>(exact.begin(), exact.end());
        };
        const int64 size = s.batch * s.pixels * s.channels;
        x = values(size, 1);
        for (T& value : x)  // a mean away from zero
            value = static_cast<T>(
                static_cast<float>(static_cast<bfloat16>(static_cast<float>(value) * 2 + 3)));
        dy = values(size, 2);
        modulation = values(s.batch * 2 * s.channels, 3);
        scale = parameters(s.channels, 4);
        shift = parameters(s.channels, 5);
        y.resize(x.size());
        dx.resize(x.size());
        dmodulation.resize(modulation.size());
        mean.resize(static_cast<std::size_t>(s.batch * s.groups));
        inverse.resize(mean.size());
        dscale.assign(scale.size(), 1);
        dshift.assign(scale.size(), 2);
    }
    void forward() {
        kernels::group_norm<T>(shape, x.data(), scale.data(), shift.data(),
                               modulated ? modulation.data() : nullptr, y.data(), mean.data(),
                               inverse.data());
    }
    void backward() {
        kernels::group_norm_backward<T>(shape, x.data(), scale.data(), shift.data(),
                                        modulated ? modulation.data() : nullptr, mean.data(),
                                        inverse.data(), dy.data(), dx.data(), dscale.data(),
                                        dshift.data(), modulated ? dmodulation.data() : nullptr);
    }
};

const std::vector<GroupNormShape> shapes = {
    {1, 1, 2, 1, 1e-5, Activation::none},        {2, 7, 6, 3, 1e-5, Activation::silu},
    {3, 16, 32, 8, 1e-6, Activation::silu},      {1, 33, 51, 17, 1e-5, Activation::gelu},
    {2, 5, 40, 1, 1e-5, Activation::quick_gelu}, {1, 9, 24, 24, 1e-5, Activation::none},
    {2, 3, 130, 13, 1e-5, Activation::silu},
};

double inner_product(const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
}

// Whether `gradient` is the derivative of loss() with respect to `values`, which loss() reads.
double gradient_error(std::vector<double>& values, const std::vector<double>& gradient,
                      const std::function<double()>& loss) {
    double worst = 0;
    for (std::size_t i = 0; i < values.size(); i += 1 + values.size() / 23) {
        const double before = values[i], step = 1e-5;
        values[i] = before + step;
        const double up = loss();
        values[i] = before - step;
        const double down = loss();
        values[i] = before;
        worst = std::max(worst, std::abs((up - down) / (2 * step) - gradient[i]));
    }
    return worst;
}

}  // namespace

TEST_CASE("group norm in double is its definition") {
    for (const GroupNormShape& s : shapes)
        for (bool modulated : {false, true}) {
            GroupNorm<double> n(s, modulated);
            n.forward();
            const int64 width = s.channels / s.groups;
            std::vector<double> expected(n.y.size());
            for (int64 b = 0; b < s.batch; ++b)
                for (int64 c = 0; c < s.channels; ++c) {
                    const int64 first = c / width * width;
                    double mean = 0, variance = 0;
                    for (int64 p = 0; p < s.pixels; ++p)
                        for (int64 i = first; i < first + width; ++i)
                            mean +=
                                n.x[static_cast<std::size_t>((b * s.pixels + p) * s.channels + i)];
                    mean /= static_cast<double>(s.pixels * width);
                    for (int64 p = 0; p < s.pixels; ++p)
                        for (int64 i = first; i < first + width; ++i)
                            variance += std::pow(
                                n.x[static_cast<std::size_t>((b * s.pixels + p) * s.channels + i)] -
                                    mean,
                                2);
                    variance /= static_cast<double>(s.pixels * width);
                    for (int64 p = 0; p < s.pixels; ++p) {
                        const auto at =
                            static_cast<std::size_t>((b * s.pixels + p) * s.channels + c);
                        const auto channel = static_cast<std::size_t>(c);
                        double z =
                            (n.x[at] - mean) / std::sqrt(variance + s.epsilon) * n.scale[channel] +
                            n.shift[channel];
                        if (modulated)
                            z = z * (1 + n.modulation[static_cast<std::size_t>(b * 2 * s.channels +
                                                                               c)]) +
                                n.modulation[static_cast<std::size_t>((b * 2 + 1) * s.channels +
                                                                      c)];
                        switch (s.activation) {
                            case Activation::silu: z = z / (1 + std::exp(-z)); break;
                            case Activation::quick_gelu: z = z / (1 + std::exp(-1.702 * z)); break;
                            case Activation::gelu:
                                z = z * 0.5 * std::erfc(-z / std::sqrt(2.0));
                                break;
                            case Activation::none: break;
                        }
                        expected[at] = z;
                    }
                }
            CHECK(worst_error(n.y, expected, 1e-6) <= 1);  // the mean of x is kept in double
        }
}

TEST_CASE("group norm's gradients in double are those of finite differences") {
    for (const GroupNormShape& s : shapes)
        for (bool modulated : {false, true}) {
            if (s.pixels == 1) continue;
            GroupNorm<double> n(s, modulated);
            const auto loss = [&] {
                n.forward();
                return inner_product(n.y, n.dy);
            };
            loss();
            n.backward();
            for (double& value : n.dscale) value -= 1;
            for (double& value : n.dshift) value -= 2;
            CHECK(gradient_error(n.x, n.dx, loss) < 1e-6);
            CHECK(gradient_error(n.scale, n.dscale, loss) < 1e-6);
            CHECK(gradient_error(n.shift, n.dshift, loss) < 1e-6);
            if (modulated) CHECK(gradient_error(n.modulation, n.dmodulation, loss) < 1e-6);
        }
}

TEST_CASE_TEMPLATE("group norm and its gradients agree with double", T, float, bfloat16) {
    for_each_isa([] {
        for (const GroupNormShape& s : shapes)
            for (bool modulated : {false, true}) {
                CAPTURE(s.channels);
                CAPTURE(modulated);
                GroupNorm<T> n(s, modulated);
                GroupNorm<double> expected(s, modulated);
                n.forward();
                expected.forward();
                // Where a group is one pixel, its deviation is small and its inverse large.
                const double allowed = s.pixels == 1 ? 1e-4 : 1e-5;
                CHECK(worst_error(n.y, expected.y, allowed) <= 1);
                CHECK(worst_error(n.mean, expected.mean, 1e-6) <= 1);
                CHECK(worst_error(n.inverse, expected.inverse, allowed) <= 1);
                n.backward();
                expected.backward();
                CHECK(worst_error(n.dx, expected.dx, allowed * 4) <= 1);
                CHECK(worst_error(n.dscale, expected.dscale, allowed * 10) <= 1);
                CHECK(worst_error(n.dshift, expected.dshift, allowed * 10) <= 1);
                if (modulated)
                    CHECK(worst_error(n.dmodulation, expected.dmodulation, allowed * 10) <= 1);
            }
    });
}

TEST_CASE_TEMPLATE("group norm of pictures larger than a piece agrees with double", T, float,
                   bfloat16) {
    const GroupNormShape s{2, 131, 2056, 8, 1e-5, Activation::silu};
    GroupNorm<double> expected(s, true);
    expected.forward();
    expected.backward();
    for_each_isa([&] {
        GroupNorm<T> n(s, true);
        n.forward();
        // (Sigmoids of bfloat16 are 2^-14 off, of values up to some units.)
        CHECK(worst_error(n.y, expected.y, std::is_same_v<T, float> ? 1e-5 : 2e-4) <= 1);
        n.backward();
        CHECK(worst_error(n.dx, expected.dx, 1e-5) <= 1);
        CHECK(worst_error(n.dscale, expected.dscale, 1e-4) <= 1);
        CHECK(worst_error(n.dshift, expected.dshift, 1e-4) <= 1);
        CHECK(worst_error(n.dmodulation, expected.dmodulation, 1e-4) <= 1);
    });
}

TEST_CASE_TEMPLATE(
    "layer norm and its gradients agree with double, and double with finite differences", T, float,
    bfloat16) {
    for (int64 width : {2, 7, 16, 33, 130})
        for (int64 rows : {1, 5, 70}) {
            const auto x = random_values<bfloat16>(rows * width, 1),
                       dy = random_values<bfloat16>(rows * width, 2);
            const auto scale = random_values<bfloat16>(width, 3),
                       shift = random_values<bfloat16>(width, 4);
            const auto run = [&](auto zero, std::vector<double> xs, std::vector<double>& y,
                                 std::vector<double>& dx, std::vector<double>& dscale,
                                 std::vector<double>& dshift) {
                using U = decltype(zero);
                using Acc = Accumulator<U>;
                const std::vector<U> ux(xs.begin(), xs.end()), udy(dy.begin(), dy.end());
                const std::vector<Acc> us(scale.begin(), scale.end()),
                    uh(shift.begin(), shift.end());
                std::vector<U> uy(ux.size()), udx(ux.size());
                std::vector<Acc> mean(static_cast<std::size_t>(rows)), inverse(mean.size());
                std::vector<Acc> ds(us.size(), 1), dh(us.size(), 2);
                kernels::layer_norm<U>(rows, width, 1e-5, ux.data(), us.data(), uh.data(),
                                       uy.data(), mean.data(), inverse.data());
                kernels::layer_norm_backward<U>(rows, width, ux.data(), us.data(), mean.data(),
                                                inverse.data(), udy.data(), udx.data(), ds.data(),
                                                dh.data());
                y = to_double(uy);
                dx = to_double(udx);
                dscale = to_double(ds);
                dshift = to_double(dh);
            };
            std::vector<double> xs = to_double(x), y, dx, ds, dh;
            run(double(), xs, y, dx, ds, dh);
            std::vector<double> other, other_dx, unused, unused2;
            const auto loss = [&] {
                run(double(), xs, other, other_dx, unused, unused2);
                return inner_product(other, to_double(dy));
            };
            CHECK(gradient_error(xs, dx, loss) < 2e-5);
            double first = 0;  // dshift is the sum of dy
            for (int64 r = 0; r < rows; ++r)
                first += static_cast<double>(dy[static_cast<std::size_t>(r * width)]);
            CHECK(dh[0] - 2 == doctest::Approx(first));
            for_each_isa([&] {
                std::vector<double> ty, tdx, tds, tdh;
                run(T(), xs, ty, tdx, tds, tdh);
                CAPTURE(width);
                CAPTURE(rows);
                // A row of two numbers that are nearly equal is normalised by a large factor.
                const double allowed = (width == 2 ? 3e-3 : 2e-5), relative = rounding<T>;
                const auto error = [&](const std::vector<double>& a, const std::vector<double>& b,
                                       double unit) {
                    double worst = 0;
                    for (std::size_t i = 0; i < a.size(); ++i)
                        worst = std::max(worst, std::abs(a[i] - b[i]) /
                                                    (allowed * unit + relative * std::abs(b[i])));
                    return worst;
                };
                CHECK(error(ty, y, 1) <= 1);
                CHECK(error(tdx, dx, 2) <= 1);
                CHECK(error(tds, ds, 10) <= 1);
                CHECK(error(tdh, dh, 10) <= 1);
            });
        }
}

TEST_CASE_TEMPLATE("norms give the same bits for any number of threads", T, float, bfloat16) {
    for_each_isa([] {
        for (const GroupNormShape& s : {GroupNormShape{5, 50, 24, 4, 1e-5, Activation::silu},
                                        GroupNormShape{2, 131, 2056, 8, 1e-5, Activation::silu}}) {
            CHECK(independent_of_threads([&] {
                GroupNorm<T> n(s, true);
                n.forward();
                n.backward();
                std::vector<T> all = n.y;
                all.insert(all.end(), n.dx.begin(), n.dx.end());
                all.insert(all.end(), n.dmodulation.begin(), n.dmodulation.end());
                for (auto value : n.dscale) all.push_back(static_cast<T>(value));
                return all;
            }));
        }
        const auto x = random_values<T>(200 * 48, 1), dy = random_values<T>(200 * 48, 2);
        const auto scale = random_values<float>(48, 3);
        CHECK(independent_of_threads([&] {
            std::vector<T> y(x.size());
            std::vector<float> mean(200), inverse(200), ds(48), dh(48);
            kernels::layer_norm<T>(200, 48, 1e-5, x.data(), scale.data(), scale.data(), y.data(),
                                   mean.data(), inverse.data());
            kernels::layer_norm_backward<T>(200, 48, x.data(), scale.data(), mean.data(),
                                            inverse.data(), dy.data(), y.data(), ds.data(),
                                            dh.data());
            ds.insert(ds.end(), dh.begin(), dh.end());
            return ds;
        }));
    });
}
