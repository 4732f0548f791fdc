// Resizing of pictures as the public pipelines do it between decoder and upsampler: bicubic, with
// antialiasing where pictures shrink.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <dalle2/core/array.hpp>

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

inline std::vector<ResizeTap> resize_taps(std::int64_t from, std::int64_t to) {
    const double scale = static_cast<double>(from) / static_cast<double>(to);
    const double stretch = std::max(scale, 1.0);  // where it shrinks, the kernel widens
    std::vector<ResizeTap> taps;
    for (std::int64_t i = 0; i < to; ++i) {
        const double center = scale * (static_cast<double>(i) + 0.5);
        const auto first = static_cast<std::int64_t>(std::max(center - 2 * stretch + 0.5, 0.0));
        const auto last = std::min(static_cast<std::int64_t>(center + 2 * stretch + 0.5), from);
        std::vector<double> weights;
        double sum = 0;
        for (std::int64_t j = first; j < last; ++j) {
            weights.push_back(cubic_kernel((static_cast<double>(j) - center + 0.5) / stretch));
            sum += weights.back();
        }
        ResizeTap& tap = taps.emplace_back(ResizeTap{first, {}});
        for (const double weight : weights) tap.weights.push_back(static_cast<float>(weight / sum));
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
    std::vector<float> values(pictures.data(), pictures.data() + pictures.size());
    values = detail::resize_axis(values, s[0] * s[1], s[2], s[3], detail::resize_taps(s[2], width));
    values =
        detail::resize_axis(values, s[0], s[1], width * s[3], detail::resize_taps(s[1], height));
    Array resized = make_array({s[0], height, width, s[3]});
    std::copy(values.begin(), values.end(), resized.data());
    return resized;
}

}  // namespace dalle2
