// Attention: double against its definition and finite differences, the others against double.
#include <limits>

#include <dalle2/kernels/kernels.hpp>

#include "support.hpp"

using namespace kernel_tests;
using dalle2::kernels::AttentionMask;
using dalle2::kernels::AttentionShape;
namespace kernels = dalle2::kernels;

namespace {

template <class T>
struct Attention {
    AttentionShape shape;
    std::vector<float> mask_values;
    AttentionMask mask;
    std::vector<T> q, k, v, dy, y, dq, dk, dv;
    std::vector<Accumulator<T>> log_sum_exp;

    // masks: 0 none, 1 one row for all, 2 one per batch element and query, 3 one per batch element,
    // which hides every third key and, of many, the first hundred
    Attention(const AttentionShape& s, int masks) : shape(s) {
        const auto values = [](int64 count, unsigned seed) {
            const auto exact = random_values<bfloat16>(count, seed);
            return std::vector<T>(exact.begin(), exact.end());
        };
        q = values(s.batch * s.queries * s.width(), 1);
        k = values(s.batch * s.keys * s.width(), 2);
        v = values(s.batch * s.keys * s.width(), 3);
        dy = values(s.batch * s.queries * s.width(), 4);
        if (masks) {
            const int64 rows = masks == 1 ? 1 : masks == 2 ? s.batch * s.queries : s.batch;
            mask_values = random_values<float>(rows * s.keys, 5);
            mask.data = mask_values.data();
            if (masks == 2) {
                mask.batch_stride = s.queries * s.keys;
                mask.query_stride = s.keys;
                for (std::size_t i = 0; i < mask_values.size(); i += 3) mask_values[i] = -10000;
            }
            if (masks == 3) {
                mask.batch_stride = s.keys;
                for (int64 i = 0; i < s.batch * s.keys; ++i)
                    if (const int64 key = i % s.keys; key % 3 == 1 || (s.keys > 200 && key < 100))
                        mask_values[static_cast<std::size_t>(i)] =
                            -std::numeric_limits<float>::infinity();
            }
        }
        y.resize(q.size());
        dq.resize(q.size());
        dk.resize(k.size());
        dv.resize(k.size());
        log_sum_exp.resize(static_cast<std::size_t>(s.batch * s.heads * s.queries));
    }
    void forward() {
        kernels::attention<T>(shape, q.data(), k.data(), v.data(), mask, y.data(),
                              log_sum_exp.data());
    }
    void backward() {
        kernels::attention_backward<T>(shape, q.data(), k.data(), v.data(), mask, y.data(),
                                       log_sum_exp.data(), dy.data(), dq.data(), dk.data(),
                                       dv.data());
    }
};

// batch, queries, keys, heads, head width
const std::vector<AttentionShape> shapes = {
    {1, 1, 1, 1, 2},     {2, 5, 7, 2, 6}, {1, 17, 33, 3, 16}, {2, 13, 20, 1, 32},
    {1, 100, 37, 2, 20}, {1, 3, 5, 1, 7}, {1, 7, 5, 1, 80},   {1, 7, 5, 1, 1024},
};

// The largest difference, in units of `allowed`.
template <class T>
double difference(const std::vector<T>& a, const std::vector<double>& b, double allowed) {
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double error = std::abs(static_cast<double>(a[i]) - b[i]) / allowed;
        if (!(error <= worst)) worst = std::isnan(error) ? 1e30 : error;
    }
    return worst;
}

}  // namespace

TEST_CASE("attention in double is its definition") {
    for (const AttentionShape& s : shapes)
        for (int masks : {0, 1, 2}) {
            Attention<double> a(s, masks);
            a.forward();
            for (int64 b = 0; b < s.batch; ++b)
                for (int64 h = 0; h < s.heads; ++h)
                    for (int64 i = 0; i < s.queries; ++i) {
                        std::vector<double> weight(static_cast<std::size_t>(s.keys));
                        double total = 0;
                        for (int64 j = 0; j < s.keys; ++j) {
                            double score = 0;
                            for (int64 c = 0; c < s.head_width; ++c)
                                score +=
                                    a.q[static_cast<std::size_t>(
                                        ((b * s.queries + i) * s.heads + h) * s.head_width + c)] *
                                    a.k[static_cast<std::size_t>(
                                        ((b * s.keys + j) * s.heads + h) * s.head_width + c)];
                            score /= std::sqrt(static_cast<double>(s.head_width));
                            if (masks)
                                score += static_cast<double>(a.mask_values[static_cast<std::size_t>(
                                    b * a.mask.batch_stride + i * a.mask.query_stride + j)]);
                            total += weight[static_cast<std::size_t>(j)] = std::exp(score);
                        }
                        const auto row =
                            static_cast<std::size_t>((b * s.heads + h) * s.queries + i);
                        if (total == 0)
                            continue;  // everything masked by -10000: only the differences count
                        CHECK(a.log_sum_exp[row] == doctest::Approx(std::log(total)));
                        for (int64 c = 0; c < s.head_width; ++c) {
                            double expected = 0;
                            for (int64 j = 0; j < s.keys; ++j)
                                expected +=
                                    weight[static_cast<std::size_t>(j)] / total *
                                    a.v[static_cast<std::size_t>(
                                        ((b * s.keys + j) * s.heads + h) * s.head_width + c)];
                            const double actual = a.y[static_cast<std::size_t>(
                                ((b * s.queries + i) * s.heads + h) * s.head_width + c)];
                            CHECK(actual == doctest::Approx(expected));
                        }
                    }
        }
}

TEST_CASE("attention's gradients in double are those of finite differences") {
    for (const AttentionShape& s : {AttentionShape{2, 3, 4, 2, 3}, AttentionShape{1, 5, 2, 1, 4}})
        for (int masks : {0, 1}) {
            Attention<double> a(s, masks);
            a.forward();
            a.backward();
            const auto loss = [&] {
                a.forward();
                double sum = 0;
                for (std::size_t i = 0; i < a.y.size(); ++i) sum += a.y[i] * a.dy[i];
                return sum;
            };
            const auto check = [&](std::vector<double>& values,
                                   const std::vector<double>& gradient) {
                for (std::size_t i = 0; i < values.size(); ++i) {
                    const double before = values[i], step = 1e-5;
                    values[i] = before + step;
                    const double up = loss();
                    values[i] = before - step;
                    const double down = loss();
                    values[i] = before;
                    CHECK(gradient[i] ==
                          doctest::Approx((up - down) / (2 * step)).epsilon(1e-6).scale(1));
                }
            };
            check(a.q, a.dq);
            check(a.k, a.dk);
            check(a.v, a.dv);
        }
}

// Of the logarithm of sums of exponentials, which are as exact as T can tell.
template <class T>
constexpr double exponential_error = std::is_same_v<T, bfloat16> ? 1.2e-4 : 2e-6;

TEST_CASE_TEMPLATE("attention and its gradients agree with double", T, float, bfloat16) {
    for_each_isa([] {
        auto all = shapes;
        all.push_back({1, 30, 530, 1, 24});
        // (Heads of 64 channels have kernels of their own, which take some keys at a time.)
        for (const auto& [queries, keys] :
             {std::pair{1, 1}, {16, 15}, {17, 33}, {33, 97}, {50, 230}})
            all.push_back({2, queries, keys, 2, 64});
        for (const AttentionShape& s : all)
            for (int masks : {0, 1, 2, 3}) {
                CAPTURE(s.queries);
                CAPTURE(s.keys);
                CAPTURE(s.head_width);
                CAPTURE(masks);
                Attention<T> a(s, masks);
                Attention<double> expected(s, masks);
                a.forward();
                expected.forward();
                const bool exact = std::is_same_v<T, float>;
                // Probabilities, their gradients and y are each rounded to T once: relative to sums
                // of terms up to 1.
                CHECK(difference(a.y, expected.y, exact ? 1e-6 : 6e-3) <= 1);
                CHECK(worst_error(a.log_sum_exp, expected.log_sum_exp, exponential_error<T>) <= 1);
                a.backward();
                expected.backward();
                const double queries = static_cast<double>(s.queries);
                CHECK(difference(a.dq, expected.dq, exact ? 5e-6 : 1e-2) <= 1);
                CHECK(difference(a.dk, expected.dk,
                                 exact ? 5e-6 : 4e-3 * (1 + std::sqrt(queries))) <= 1);
                CHECK(difference(a.dv, expected.dv,
                                 exact ? 5e-6 : 4e-3 * (1 + std::sqrt(queries))) <= 1);
            }
    });
}

TEST_CASE_TEMPLATE("a query that may look nowhere sees zero", T, float, bfloat16, double) {
    for_each_isa([] {
        Attention<T> a({1, 4, 5, 1, 8}, 2);
        for (std::size_t j = 0; j < 5; ++j)
            a.mask_values[5 + j] = -std::numeric_limits<float>::infinity();
        a.forward();
        a.backward();
        for (std::size_t c = 0; c < 8; ++c) {
            CHECK(static_cast<double>(a.y[8 + c]) == 0);
            CHECK(static_cast<double>(a.dq[8 + c]) == 0);
        }
        for (T value : a.dk) CHECK(!std::isnan(static_cast<double>(value)));

        Attention<T> all_hidden({2, 20, 130, 1, 64}, 3);
        for (std::size_t j = 0; j < 130; ++j)
            all_hidden.mask_values[j] = -std::numeric_limits<float>::infinity();
        all_hidden.forward();
        const std::size_t half = all_hidden.y.size() / 2;
        for (std::size_t i = 0; i < half; ++i) {
            REQUIRE(static_cast<double>(all_hidden.y[i]) == 0);
            REQUIRE(static_cast<double>(all_hidden.y[half + i]) != 0);
        }
    });
}

TEST_CASE_TEMPLATE("attention gives the same bits for any number of threads", T, float, bfloat16) {
    for_each_isa([] {
        CHECK(independent_of_threads([] {
            std::vector<T> all;
            for (const auto& [shape, masks] :
                 {std::pair{AttentionShape{1, 200, 70, 3, 16}, 1}, {{1, 130, 230, 1, 64}, 0}}) {
                Attention<T> a(shape, masks);
                a.forward();
                a.backward();
                for (const auto* part : {&a.y, &a.dq, &a.dk, &a.dv})
                    all.insert(all.end(), part->begin(), part->end());
            }
            return all;
        }));
    });
}
