// What the tests of the kernels share: random data, instruction sets, comparison with double
// precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include <doctest/doctest.h>
#include <dalle2/core/bfloat16.hpp>
#include <dalle2/kernels/isa.hpp>
#include <dalle2/kernels/parallel.hpp>
#include <dalle2/kernels/shapes.hpp>

namespace kernel_tests {

using dalle2::Accumulator;
using dalle2::bfloat16;
using dalle2::kernels::int64;

// Numbers between -1 and 1, exactly representable in T.
template <class T>
std::vector<T> random_values(int64 count, unsigned seed) {
    std::mt19937 generator(seed);
    std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
    std::vector<T> values(static_cast<std::size_t>(count));
    for (T& value : values) value = static_cast<T>(uniform(generator));
    return values;
}

template <class T>
std::vector<double> to_double(const std::vector<T>& values) {
    std::vector<double> result;
    for (T value : values) result.push_back(static_cast<double>(value));
    return result;
}

// The error of one rounding to T.
template <class T>
constexpr double rounding = std::is_same_v<T, double>  ? 1e-15
                            : std::is_same_v<T, float> ? 6e-8
                                                       : 1.0 / 256;

// The largest |actual - expected| in units of what rounding allows: `allowed` absolute, plus one
// rounding to T of the value itself. A result up to 1 is right; NaN never is.
template <class T>
double worst_error(const std::vector<T>& actual, const std::vector<double>& expected,
                   double allowed) {
    REQUIRE(actual.size() == expected.size());
    double worst = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) {
        const double error = std::abs(static_cast<double>(actual[i]) - expected[i]) /
                             (allowed + rounding<T> * std::abs(expected[i]));
        if (!(error <= worst)) worst = std::isnan(error) ? 1e30 : error;
    }
    return worst;
}

// Calls body() once for each instruction set that this machine has.
template <class Body>
void for_each_isa(const Body& body) {
    for (dalle2::kernels::Isa isa : dalle2::kernels::all_isas) {
        if (!dalle2::kernels::available(isa)) continue;
        CAPTURE(std::string(dalle2::kernels::name_of(isa)));
        dalle2::kernels::ForcedIsa forced(isa);
        body();
    }
}

// What a convolution may add to a result y [batch, pixels, channels]: as much, or a vector for each
// picture.
template <class T>
struct AddedValues {
    AddedValues(int64 batch, int64 pixels, int64 channels, bool per_picture)
        : values(random_values<T>(batch * (per_picture ? 1 : pixels) * channels, 5)),
          added{values.data(), per_picture},
          channels_(channels),
          pixels_(pixels) {}
    AddedValues(const AddedValues&) = delete;

    std::vector<double> plus(std::vector<double> y) const {
        for (std::size_t i = 0; i < y.size(); ++i) {
            const auto pixel = static_cast<int64>(i) / channels_;
            const auto vector = added.per_picture ? pixel / pixels_ : pixel;
            y[i] += static_cast<double>(values[static_cast<std::size_t>(
                vector * channels_ + static_cast<int64>(i) % channels_)]);
        }
        return y;
    }

    std::vector<T> values;
    dalle2::kernels::Added<T> added;

private:
    int64 channels_, pixels_;
};

inline void use_threads([[maybe_unused]] int count) {
#ifdef _OPENMP
    omp_set_num_threads(count);
#endif
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// Whether run(), which returns a vector, gives the same bits with one, two and three threads.
template <class Run>
bool independent_of_threads(const Run& run) {
    const int before = dalle2::kernels::thread_count();
    use_threads(1);
    const auto one = run();
    bool same = true;
    for (int threads : {2, 3}) {
        use_threads(threads);
        same = same && same_bits(run(), one);
    }
    use_threads(before);
    return same;
}

}  // namespace kernel_tests
