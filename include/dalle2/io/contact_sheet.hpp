// Many pictures on one, in rows, to look at.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/picture.hpp>

namespace dalle2 {

struct ContactSheetOptions {
    int columns = 0;                      // 0: about as many as rows
    int gap = 2;                          // pixels between pictures
    int enlarge = 1;                      // each pixel becomes enlarge × enlarge
    std::array<std::uint8_t, 3> color{};  // of the gaps
};

// The pictures row by row. Each gets a cell of the largest width and height among them, and stands
// in its middle. Throws ConfigError for no picture, negative options or a sheet of over 2^26
// pixels.
inline Picture contact_sheet(const std::vector<Picture>& pictures,
                             const ContactSheetOptions& options = {}) {
    if (pictures.empty())
        throw ConfigError("a contact sheet of no pictures; expected at least one");
    if (options.columns < 0 || options.gap < 0 || options.enlarge < 1)
        throw ConfigError("a contact sheet with " + std::to_string(options.columns) +
                          " columns, a gap of " + std::to_string(options.gap) + " and enlarged " +
                          std::to_string(options.enlarge) +
                          " times; expected 0 or more, 0 or more, 1 or more");
    std::int64_t cell_width = 1, cell_height = 1;
    for (const Picture& picture : pictures) {
        cell_width = std::max<std::int64_t>(cell_width, picture.width);
        cell_height = std::max<std::int64_t>(cell_height, picture.height);
    }
    const auto count = static_cast<std::int64_t>(pictures.size());
    std::int64_t columns = options.columns;
    if (columns == 0)
        while (columns * columns < count) ++columns;
    columns = std::min(columns, count);
    const std::int64_t rows = (count + columns - 1) / columns;
    const std::int64_t step_x = cell_width * options.enlarge + options.gap;
    const std::int64_t step_y = cell_height * options.enlarge + options.gap;
    const std::int64_t width = columns * step_x - options.gap, height = rows * step_y - options.gap;
    if (width > (1 << 26) / height)
        throw ConfigError("a contact sheet of " + std::to_string(width) + "×" +
                          std::to_string(height) + " pixels; expected at most 2^26 in all");
    Picture sheet = make_picture(static_cast<int>(width), static_cast<int>(height), options.color);
    for (std::int64_t i = 0; i < count; ++i) {
        const Picture& picture = pictures[static_cast<std::size_t>(i)];
        const std::int64_t left =
            (i % columns) * step_x + (cell_width - picture.width) / 2 * options.enlarge;
        const std::int64_t top =
            (i / columns) * step_y + (cell_height - picture.height) / 2 * options.enlarge;
        for (int y = 0; y < picture.height * options.enlarge; ++y)
            for (int x = 0; x < picture.width * options.enlarge; ++x)
                std::copy_n(picture.pixel(x / options.enlarge, y / options.enlarge), 3,
                            sheet.pixel(static_cast<int>(left) + x, static_cast<int>(top) + y));
    }
    return sheet;
}

}  // namespace dalle2
