// The optimiser's step against its definition in double.
#include <dalle2/kernels/adamw.hpp>

#include "support.hpp"

using namespace kernel_tests;
namespace kernels = dalle2::kernels;

namespace {

constexpr int64 sizes[] = {1, 3, 16, 63, 64, 65, 1000};

template <class A>
kernels::AdamwStep<A> some_step() {
    return {.learning_rate = A(0.01),
            .decay_factor = A(0.9),
            .beta1 = A(0.8),
            .beta2 = A(0.95),
            .correction1 = A(1.7),
            .correction2 = A(2.3),
            .epsilon = A(0.003),
            .gradient_scale = A(0.6),
            .average_decay = A(0.7)};
}

// Of n elements; second moments are not negative.
template <class A>
struct Elements {
    std::vector<A> gradient, value, first_moment, second_moment, average;

    explicit Elements(int64 n)
        : gradient(random_values<A>(n, 1)),
          value(random_values<A>(n, 2)),
          first_moment(random_values<A>(n, 3)),
          second_moment(random_values<A>(n, 4)),
          average(random_values<A>(n, 5)) {
        for (A& v : second_moment) v = std::abs(v);
    }
    kernels::AdamwState<A> state() {
        return {value.data(), first_moment.data(), second_moment.data(), average.data()};
    }
};

}  // namespace

TEST_CASE_TEMPLATE("a step of AdamW is what the paper says", A, float, double) {
    for_each_isa([] {
        for (const int64 n : sizes) {
            CAPTURE(n);
            Elements<A> e(n);
            std::vector<double> first, second, values, averages;
            for (std::size_t i = 0; i < e.value.size(); ++i) {
                const double g = 0.6 * static_cast<double>(e.gradient[i]);
                first.push_back(0.8 * static_cast<double>(e.first_moment[i]) + 0.2 * g);
                second.push_back(0.95 * static_cast<double>(e.second_moment[i]) + 0.05 * g * g);
                values.push_back(0.9 * static_cast<double>(e.value[i]) -
                                 0.01 * (first[i] * 1.7) / (std::sqrt(second[i] * 2.3) + 0.003));
                averages.push_back(0.7 * static_cast<double>(e.average[i]) + 0.3 * values[i]);
            }
            kernels::adamw(some_step<A>(), n, e.gradient.data(), e.state());
            const double allowed = 4 * rounding<A>;
            CHECK(worst_error(e.first_moment, first, allowed) <= 1);
            CHECK(worst_error(e.second_moment, second, allowed) <= 1);
            CHECK(worst_error(e.value, values, allowed) <= 1);
            CHECK(worst_error(e.average, averages, allowed) <= 1);
        }
    });
}

TEST_CASE_TEMPLATE("the sum of squares is that, and tells what is not finite", A, float, double) {
    for_each_isa([] {
        for (const int64 n : sizes) {
            CAPTURE(n);
            std::vector<A> x = random_values<A>(n, 6);
            double expected = 0;
            for (const A value : x) expected += static_cast<double>(value) * value;
            CHECK(kernels::sum_of_squares(n, x.data()) == doctest::Approx(expected).epsilon(1e-6));
            for (const A bad :
                 {std::numeric_limits<A>::infinity(), std::numeric_limits<A>::quiet_NaN()}) {
                x.back() = bad;
                CHECK_FALSE(std::isfinite(kernels::sum_of_squares(n, x.data())));
            }
        }
    });
}
