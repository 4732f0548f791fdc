// A picture of any size as the square array that a model trains on.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/picture.hpp>

namespace dalle2 {

namespace detail {

// The weights of source pixels from `begin` on for one target pixel.
struct PixelWeights {
    int begin = 0;
    std::vector<float> weights;
};

// Shrinking averages areas exactly, so 128 → 32 is the mean of 4 by 4; enlarging is linear.
inline std::vector<PixelWeights> resampling_weights(int from, int to) {
    const double ratio = static_cast<double>(from) / to;
    std::vector<PixelWeights> table(static_cast<std::size_t>(to));
    for (int i = 0; i < to; ++i) {
        PixelWeights& entry = table[static_cast<std::size_t>(i)];
        if (ratio >= 1) {
            const double low = i * ratio, high = std::min<double>((i + 1) * ratio, from);
            entry.begin = static_cast<int>(low);
            for (int j = entry.begin; j < high && j < from; ++j)
                entry.weights.push_back(static_cast<float>(
                    (std::min<double>(j + 1, high) - std::max<double>(j, low)) / ratio));
        } else {
            const double centre = std::clamp((i + 0.5) * ratio - 0.5, 0.0, from - 1.0);
            entry.begin = std::min(static_cast<int>(centre), std::max(0, from - 2));
            const auto share = static_cast<float>(centre - entry.begin);
            entry.weights = {1 - share};
            if (from > 1) entry.weights.push_back(share);
        }
    }
    return table;
}

}  // namespace detail

// The largest square in the middle of the picture, resampled to `size`: writes [size, size, 3] in
// [-1, 1], mirrored left to right if asked. Throws ShapeError when `size` is below one.
inline void square_picture(const Picture& picture, int size, float* out, bool mirrored = false) {
    if (size < 1)
        throw ShapeError("a square of " + std::to_string(size) + " pixels; expected 1 or more");
    const int side = std::min(picture.width, picture.height);
    const int left = (picture.width - side) / 2, top = (picture.height - side) / 2;
    const auto weights = detail::resampling_weights(side, size);
    const std::size_t n = static_cast<std::size_t>(size);
    std::vector<float> rows(static_cast<std::size_t>(side) * n * 3);
    for (int y = 0; y < side; ++y)
        for (std::size_t x = 0; x < n; ++x)
            for (std::size_t k = 0; k < weights[x].weights.size(); ++k) {
                const std::uint8_t* pixel =
                    picture.pixel(left + weights[x].begin + static_cast<int>(k), top + y);
                for (std::size_t c = 0; c < 3; ++c)
                    rows[(static_cast<std::size_t>(y) * n + x) * 3 + c] +=
                        weights[x].weights[k] * pixel[c];
            }
    for (std::size_t y = 0; y < n; ++y)
        for (std::size_t x = 0; x < n; ++x)
            for (std::size_t c = 0; c < 3; ++c) {
                float sum = 0;
                for (std::size_t k = 0; k < weights[y].weights.size(); ++k)
                    sum += weights[y].weights[k] *
                           rows[((static_cast<std::size_t>(weights[y].begin) + k) * n + x) * 3 + c];
                out[(y * n + (mirrored ? n - 1 - x : x)) * 3 + c] = sum / 127.5f - 1;
            }
}

}  // namespace dalle2
