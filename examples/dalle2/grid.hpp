// Pictures of one size side by side, row by row, on white.
#pragma once

#include <algorithm>
#include <vector>

#include <dalle2/io/picture.hpp>

namespace tool {

inline dalle2::Picture grid(const std::vector<dalle2::Picture>& pictures, int columns) {
    constexpr int gap = 2;
    const int count = static_cast<int>(pictures.size());
    const int rows = (count + columns - 1) / columns;
    const int width = pictures.at(0).width, height = pictures.at(0).height;
    dalle2::Picture sheet = dalle2::make_picture(columns * (width + gap) - gap,
                                                 rows * (height + gap) - gap, {255, 255, 255});
    for (int i = 0; i < count; ++i) {
        const dalle2::Picture& picture = pictures[static_cast<std::size_t>(i)];
        for (int y = 0; y < height; ++y)
            std::copy_n(picture.pixel(0, y), 3 * width,
                        sheet.pixel(i % columns * (width + gap), i / columns * (height + gap) + y));
    }
    return sheet;
}

}  // namespace tool
