// Pictures of 8 bits made larger or smaller exactly as PIL does it: one direction after the other,
// in fixed point, rounded to 8 bits after each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/picture.hpp>
#include <dalle2/io/resampling.hpp>

namespace dalle2 {

// A part of a picture, in pixels.
struct PictureRegion {
    std::int64_t left = 0, top = 0, width = 0, height = 0;
};

// Which direction comes first. It matters where the rounding in between cuts off overshoot: at hard
// edges by twenty levels and more.
enum class PassOrder {
    rows_first,  // Pillow up to 12.3
    pillow_13,   // columns first where that saves more rows than twice the columns it costs
};

namespace detail {

inline bool columns_come_first(const Picture& picture, std::int64_t width, std::int64_t height,
                               PassOrder order) {
    return order == PassOrder::pillow_13 && height < picture.height &&
           2 * (picture.width - width) < picture.height - height;
}

// The fixed point of PIL's Resample.c: 32 bits less 8 of the result, less 2 for overshoot.
inline constexpr int resampling_bits = 32 - 8 - 2;

struct FixedTap {
    std::int64_t first;
    std::vector<std::int32_t> weights;
};

inline std::vector<FixedTap> fixed_taps(const std::vector<ResamplingTap>& taps) {
    std::vector<FixedTap> fixed;
    fixed.reserve(taps.size());
    for (const ResamplingTap& tap : taps) {
        FixedTap next{tap.first, {}};
        for (const double weight : tap.weights) {
            const double scaled = weight * (1 << resampling_bits);
            next.weights.push_back(static_cast<std::int32_t>(scaled + (scaled < 0 ? -0.5 : 0.5)));
        }
        fixed.push_back(std::move(next));
    }
    return fixed;
}

// Nearest neighbours as PIL finds them, by adding steps: the sum's rounding decides ties.
inline std::vector<FixedTap> nearest_taps(std::int64_t from, std::int64_t to, std::int64_t begin,
                                          std::int64_t end) {
    const double step = static_cast<double>(from) / static_cast<double>(to);
    double place = step * 0.5;
    std::vector<FixedTap> taps;
    for (std::int64_t i = 0; i < end; ++i, place += step)
        if (i >= begin)
            taps.push_back(
                {std::min(static_cast<std::int64_t>(place), from - 1), {1 << resampling_bits}});
    return taps;
}

inline std::uint8_t rounded_level(std::int32_t sum) {
    return static_cast<std::uint8_t>(std::clamp(sum >> resampling_bits, 0, 255));
}
inline constexpr std::int32_t half_level = 1 << (resampling_bits - 1);

// Some pixels of an axis: `count` from `first` on.
struct PixelRange {
    std::int64_t first, count;
};

// The old pixels that the taps read.
inline PixelRange range_of(const std::vector<FixedTap>& taps) {
    std::int64_t end = 0;
    for (const FixedTap& tap : taps)
        end = std::max(end, tap.first + static_cast<std::int64_t>(tap.weights.size()));
    return {taps.front().first, end - taps.front().first};
}

// Some rows of the picture, each with as many new pixels as there are taps; tap.first counts from
// `origin`.
inline Picture resample_rows(const Picture& picture, const std::vector<FixedTap>& taps,
                             std::int64_t origin, const PixelRange& rows) {
    Picture result = make_picture(static_cast<int>(taps.size()), static_cast<int>(rows.count));
    std::uint8_t* out = result.rgb.data();
    for (std::int64_t row = 0; row < rows.count; ++row)
        for (const FixedTap& tap : taps) {
            const std::uint8_t* in = picture.pixel(static_cast<int>(tap.first - origin),
                                                   static_cast<int>(rows.first + row));
            std::int32_t red = half_level, green = half_level, blue = half_level;
            for (const std::int32_t weight : tap.weights) {
                red += weight * in[0];
                green += weight * in[1];
                blue += weight * in[2];
                in += 3;
            }
            *out++ = rounded_level(red);
            *out++ = rounded_level(green);
            *out++ = rounded_level(blue);
        }
    return result;
}

// Some columns of the picture, with as many new rows as there are taps; tap.first counts from
// `origin`.
inline Picture resample_columns(const Picture& picture, const std::vector<FixedTap>& taps,
                                std::int64_t origin, const PixelRange& columns) {
    Picture result = make_picture(static_cast<int>(columns.count), static_cast<int>(taps.size()));
    const std::size_t length = 3 * static_cast<std::size_t>(columns.count);
    std::vector<std::int32_t> sums(length);
    std::uint8_t* out = result.rgb.data();
    for (const FixedTap& tap : taps) {
        std::fill(sums.begin(), sums.end(), half_level);
        for (std::size_t k = 0; k < tap.weights.size(); ++k) {
            const std::uint8_t* in =
                picture.pixel(static_cast<int>(columns.first),
                              static_cast<int>(tap.first - origin) + static_cast<int>(k));
            for (std::size_t i = 0; i < length; ++i) sums[i] += tap.weights[k] * in[i];
        }
        for (const std::int32_t sum : sums) *out++ = rounded_level(sum);
    }
    return result;
}

}  // namespace detail

// The part `region` of the picture that resizing to `width` × `height` would give; only that part
// is computed. The levels equal those of PIL's Image.resize in mode RGB. Throws ShapeError for
// sizes below 1 or a region that is empty or not inside.
inline Picture resize_picture(const Picture& picture, std::int64_t width, std::int64_t height,
                              Resampling kind, const PictureRegion& region,
                              PassOrder order = PassOrder::pillow_13) {
    constexpr std::int64_t largest = std::int64_t{1} << 31;
    const auto inside = [](std::int64_t first, std::int64_t count, std::int64_t size) {
        return first >= 0 && count >= 1 && count <= 65535 && first <= size - count;
    };
    if (picture.width < 1 || picture.height < 1 || width < 1 || height < 1 || width > largest ||
        height > largest || !inside(region.left, region.width, width) ||
        !inside(region.top, region.height, height))
        throw ShapeError("resize: a picture of " + std::to_string(picture.width) + "×" +
                         std::to_string(picture.height) + " to " + std::to_string(width) + "×" +
                         std::to_string(height) + ", of it " + std::to_string(region.width) + "×" +
                         std::to_string(region.height) + " at " + std::to_string(region.left) +
                         ", " + std::to_string(region.top) +
                         "; expected sizes of at least 1 and a part that lies inside");
    const auto taps = [&](std::int64_t from, std::int64_t to, std::int64_t first,
                          std::int64_t count) {
        if (kind == Resampling::nearest)
            return detail::nearest_taps(from, to, first, first + count);
        return detail::fixed_taps(detail::resampling_taps(detail::resampling_kernel(kind), from, to,
                                                          first, first + count));
    };
    const auto columns = taps(picture.width, width, region.left, region.width);
    const auto rows = taps(picture.height, height, region.top, region.height);
    const detail::PixelRange old_columns = detail::range_of(columns),
                             old_rows = detail::range_of(rows);
    if (detail::columns_come_first(picture, width, height, order))
        return detail::resample_rows(detail::resample_columns(picture, rows, 0, old_columns),
                                     columns, old_columns.first, {0, region.height});
    return detail::resample_columns(detail::resample_rows(picture, columns, 0, old_rows), rows,
                                    old_rows.first, {0, region.width});
}

// The whole picture, resized.
inline Picture resize_picture(const Picture& picture, std::int64_t width, std::int64_t height,
                              Resampling kind = Resampling::bicubic,
                              PassOrder order = PassOrder::pillow_13) {
    return resize_picture(picture, width, height, kind, {0, 0, width, height}, order);
}

}  // namespace dalle2
