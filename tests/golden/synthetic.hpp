// A picture of slopes and hard edges, from whole numbers alone: `synthetic` of make_clip.py.
#pragma once

#include <cstdint>

#include <dalle2/io/picture.hpp>

namespace golden {

inline dalle2::Picture synthetic(int width, int height) {
    dalle2::Picture picture = dalle2::make_picture(width, height);
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x) {
            const std::int64_t slope =
                std::int64_t{x} * x * 7 + std::int64_t{y} * x * 13 + std::int64_t{y} * y * 3;
            for (int c = 0; c < 3; ++c)
                picture.pixel(x, y)[c] = static_cast<std::uint8_t>((slope + c * 101) >> 4 & 255);
        }
    return picture;
}

}  // namespace golden
