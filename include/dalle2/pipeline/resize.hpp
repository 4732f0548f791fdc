// Resizing of pictures as the public pipelines do it between decoder and upsampler: bicubic, with
// antialiasing where pictures shrink. And blurring, for what an upsampler learns from.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <dalle2/core/array.hpp>
#include <dalle2/core/error.hpp>

namespace dalle2 {

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

// One new pixel along one axis: the weighted sum of some old ones, from `first` on.
struct ResizeTap {
    std::int64_t first;
    std::vector<float> weights;
};

// Weights that sum to 1.
inline ResizeTap resize_tap(std::int64_t first, const std::vector<double>& weights) {
    double sum = 0;
    for (const double weight : weights) sum += weight;
    ResizeTap tap{first, {}};
    for (const double weight : weights) tap.weights.push_back(static_cast<float>(weight / sum));
    return tap;
}

inline std::vector<ResizeTap> resize_taps(std::int64_t from, std::int64_t to) {
    const double scale = static_cast<double>(from) / static_cast<double>(to);
    const double stretch = std::max(scale, 1.0);  // where it shrinks, the kernel widens
    std::vector<ResizeTap> taps;
    for (std::int64_t i = 0; i < to; ++i) {
        const double center = scale * (static_cast<double>(i) + 0.5);
        const auto first = static_cast<std::int64_t>(std::max(center - 2 * stretch + 0.5, 0.0));
        const auto last = std::min(static_cast<std::int64_t>(center + 2 * stretch + 0.5), from);
        std::vector<double> weights;
        for (std::int64_t j = first; j < last; ++j)
            weights.push_back(cubic_kernel((static_cast<double>(j) - center + 0.5) / stretch));
        taps.push_back(resize_tap(first, weights));
    }
    return taps;
}

// x [outer, from, inner] → [outer, taps, inner].
inline std::vector<float> resize_axis(const std::vector<float>& x, std::int64_t outer,
                                      std::int64_t from, std::int64_t inner,
                                      const std::vector<ResizeTap>& taps) {
    std::vector<float> y;
    y.reserve(static_cast<std::size_t>(outer * inner) * taps.size());
    for (std::int64_t o = 0; o < outer; ++o)
        for (const ResizeTap& tap : taps)
            for (std::int64_t i = 0; i < inner; ++i) {
                const float* value = x.data() + (o * from + tap.first) * inner + i;
                float sum = 0;
                for (const float weight : tap.weights) {
                    sum += weight * *value;
                    value += inner;
                }
                y.push_back(sum);
            }
    return y;
}

inline std::vector<ResizeTap> gaussian_taps(std::int64_t size, double deviation,
                                            std::int64_t reach) {
    std::vector<ResizeTap> taps;
    for (std::int64_t i = 0; i < size; ++i) {
        const std::int64_t first = std::max<std::int64_t>(i - reach, 0);
        const std::int64_t last = std::min(i + reach + 1, size);
        std::vector<double> weights;
        for (std::int64_t j = first; j < last; ++j) {
            const double x = j == i ? 0 : static_cast<double>(j - i) / deviation;
            weights.push_back(std::exp(-x * x / 2));
        }
        taps.push_back(resize_tap(first, weights));
    }
    return taps;
}

// pictures [batch, h, w, channels] → [batch, rows, columns, channels].
inline Array resample(const Array& pictures, const std::vector<ResizeTap>& rows,
                      const std::vector<ResizeTap>& columns) {
    const Shape s = shape_of(pictures);
    const auto height = static_cast<std::int64_t>(rows.size());
    const auto width = static_cast<std::int64_t>(columns.size());
    std::vector<float> values(pictures.data(), pictures.data() + pictures.size());
    values = resize_axis(values, s[0] * s[1], s[2], s[3], columns);
    values = resize_axis(values, s[0], s[1], width * s[3], rows);
    Array result = make_array({s[0], height, width, s[3]});
    std::copy(values.begin(), values.end(), result.data());
    return result;
}

}  // namespace detail

// pictures [batch, h, w, channels] → [batch, height, width, channels]; the same numbers as
// PyTorch's interpolate(mode="bicubic", antialias=True, align_corners=False) up to rounding.
// Values may leave the range of the input a little. Throws ShapeError for sizes below 1.
inline Array resize_bicubic(const Array& pictures, std::int64_t height, std::int64_t width) {
    const Shape s = shape_of(pictures);
    if (s.size() != 4 || s[1] < 1 || s[2] < 1 || height < 1 || width < 1)
        throw ShapeError("resize: pictures " + to_string(s) + " to " + std::to_string(height) +
                         "x" + std::to_string(width) +
                         "; expected [batch, height, width, channels] and sizes of at least 1");
    return detail::resample(pictures, detail::resize_taps(s[1], height),
                            detail::resize_taps(s[2], width));
}

// pictures [batch, h, w, channels] → the same shape, blurred by a Gaussian whose deviation is so
// many pixels, 0 or more; it is cut off at three deviations and at the edges. 0 changes nothing.
// Throws ShapeError for other shapes, ConfigError for another deviation.
inline Array gaussian_blur(const Array& pictures, double deviation) {
    const Shape s = shape_of(pictures);
    if (s.size() != 4)
        throw ShapeError("blur: pictures " + to_string(s) +
                         "; expected [batch, height, width, channels]");
    if (!(deviation >= 0 && std::isfinite(deviation)))
        throw ConfigError("blur: a deviation of " + std::to_string(deviation) +
                          " pixels; expected a number from 0 on");
    // Beyond the picture there is nothing to reach.
    const auto taps = [&](std::int64_t size) {
        const double reach = std::min(std::ceil(3 * deviation), static_cast<double>(size));
        return detail::gaussian_taps(size, deviation, static_cast<std::int64_t>(reach));
    };
    return detail::resample(pictures, taps(s[1]), taps(s[2]));
}

}  // namespace dalle2
