// How the pixels of one row become more or fewer: kernels, and their weights on the old pixels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <utility>
#include <vector>

namespace dalle2 {

// With the numbers that PIL and preprocessor_config.json give them.
enum class Resampling { nearest = 0, lanczos = 1, bilinear = 2, bicubic = 3, box = 4, hamming = 5 };

namespace detail {

// Keys' cubic kernel (Keys 1981) with a = -1/2, as PIL and PyTorch's antialiased bicubic have it.
// (PyTorch without antialiasing has -3/4.)
inline double cubic_kernel(double x) {
    constexpr double a = -0.5;
    x = std::abs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

inline double sinc(double x) {
    if (x == 0) return 1;
    x *= std::numbers::pi;
    return std::sin(x) / x;
}

// A function of the distance in old pixels, zero beyond `support` of them.
struct ResamplingKernel {
    double support;
    double (*value)(double);
};

inline ResamplingKernel resampling_kernel(Resampling kind) {
    switch (kind) {
        case Resampling::lanczos:
            return {3, [](double x) { return -3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0; }};
        case Resampling::bilinear:
            return {1, [](double x) { return std::max(1 - std::abs(x), 0.0); }};
        case Resampling::bicubic: return {2, cubic_kernel};
        case Resampling::hamming:
            return {1, [](double x) {
                        if (std::abs(x) >= 1) return 0.0;
                        // Single precision as in PIL; it decides some last bits.
                        constexpr double mean = 0.54f, amplitude = 0.46f;
                        return sinc(x) * (mean + amplitude * std::cos(x * std::numbers::pi));
                    }};
        case Resampling::nearest:  // has no kernel: it takes one old pixel
        case Resampling::box: break;
    }
    return {0.5, [](double x) { return -0.5 < x && x <= 0.5 ? 1.0 : 0.0; }};
}

// One new pixel along one axis: the weighted sum of some old ones, from `first` on.
struct ResamplingTap {
    std::int64_t first;
    std::vector<double> weights;  // their sum is 1
};

// Weights that sum to 1.
inline ResamplingTap resampling_tap(std::int64_t first, std::vector<double> weights) {
    double sum = 0;
    for (const double weight : weights) sum += weight;
    if (sum != 0)
        for (double& weight : weights) weight /= sum;
    return {first, std::move(weights)};
}

// The new pixels from `begin` to before `end`, out of `to` that are made of `from`. The order of
// operations is PIL's, so that equal weights come out.
inline std::vector<ResamplingTap> resampling_taps(const ResamplingKernel& kernel, std::int64_t from,
                                                  std::int64_t to, std::int64_t begin,
                                                  std::int64_t end) {
    const double scale = static_cast<double>(from) / static_cast<double>(to);
    const double stretch = std::max(scale, 1.0);  // where it shrinks, the kernel widens
    const double support = kernel.support * stretch, squeeze = 1 / stretch;
    std::vector<ResamplingTap> taps;
    taps.reserve(static_cast<std::size_t>(end - begin));
    for (std::int64_t i = begin; i < end; ++i) {
        const double center = (static_cast<double>(i) + 0.5) * scale;
        const auto first = static_cast<std::int64_t>(std::max(center - support + 0.5, 0.0));
        const auto last = std::min(static_cast<std::int64_t>(center + support + 0.5), from);
        std::vector<double> weights;
        for (std::int64_t j = first; j < last; ++j)
            weights.push_back(kernel.value((static_cast<double>(j) - center + 0.5) * squeeze));
        taps.push_back(resampling_tap(first, std::move(weights)));
    }
    return taps;
}

}  // namespace detail

}  // namespace dalle2
