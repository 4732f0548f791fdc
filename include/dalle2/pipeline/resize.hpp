// Resizing of pictures as the public pipelines do it between decoder and upsampler: bicubic, with
// antialiasing where pictures shrink. And blurring, for what an upsampler learns from.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/array.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/io/resampling.hpp>

namespace dalle2 {

namespace detail {

// x [outer, from, inner] → [outer, taps, inner].
inline std::vector<float> resize_axis(const std::vector<float>& x, std::int64_t outer,
                                      std::int64_t from, std::int64_t inner,
                                      const std::vector<ResamplingTap>& taps) {
    std::vector<float> y;
    y.reserve(static_cast<std::size_t>(outer * inner) * taps.size());
    for (std::int64_t o = 0; o < outer; ++o)
        for (const ResamplingTap& tap : taps)
            for (std::int64_t i = 0; i < inner; ++i) {
                const float* value = x.data() + (o * from + tap.first) * inner + i;
                float sum = 0;
                for (const double weight : tap.weights) {
                    sum += static_cast<float>(weight) * *value;
                    value += inner;
                }
                y.push_back(sum);
            }
    return y;
}

inline std::vector<ResamplingTap> gaussian_taps(std::int64_t size, double deviation,
                                                std::int64_t reach) {
    std::vector<ResamplingTap> taps;
    for (std::int64_t i = 0; i < size; ++i) {
        const std::int64_t first = std::max<std::int64_t>(i - reach, 0);
        const std::int64_t last = std::min(i + reach + 1, size);
        std::vector<double> weights;
        for (std::int64_t j = first; j < last; ++j) {
            const double x = j == i ? 0 : static_cast<double>(j - i) / deviation;
            weights.push_back(std::exp(-x * x / 2));
        }
        taps.push_back(resampling_tap(first, std::move(weights)));
    }
    return taps;
}

// pictures [batch, h, w, channels] → [batch, rows, columns, channels].
inline Array resample(const Array& pictures, const std::vector<ResamplingTap>& rows,
                      const std::vector<ResamplingTap>& columns) {
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
    const auto taps = [](std::int64_t from, std::int64_t to) {
        return detail::resampling_taps(detail::resampling_kernel(Resampling::bicubic), from, to, 0,
                                       to);
    };
    return detail::resample(pictures, taps(s[1], height), taps(s[2], width));
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
