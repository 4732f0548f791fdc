// Is a picture file whole? stb_image reads zeros behind the end of a file, and so would return a
// picture of one that is cut off. (For JPEG see jpeg_check.hpp; a PNG file's chunks have lengths,
// which stb_image compares with the file.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dalle2::detail {

// The rows of a BMP file that is not compressed: [MS-WMF] 2.2.2, BITMAPINFOHEADER and the older
// BITMAPCOREHEADER.
inline bool is_bmp_cut_off(std::string_view file) {
    const auto number = [&](std::size_t begin, std::size_t size) {
        std::uint64_t value = 0;
        for (std::size_t i = size; i-- > 0;)
            value = (value << 8) | static_cast<unsigned char>(file[begin + i]);
        return value;
    };
    constexpr std::size_t least = 30;
    if (file.size() < least) return true;
    const bool core = number(14, 4) == 12;
    const std::uint64_t width = number(18, core ? 2 : 4), bits = number(core ? 24 : 28, 2);
    std::uint64_t height = core ? number(20, 2) : number(22, 4);
    if (height > INT32_MAX) height = (std::uint64_t{1} << 32) - height;  // rows from the top
    const std::uint64_t row = (width * bits + 31) / 32 * 4;
    const std::uint64_t begin = number(10, 4);
    return row != 0 && (begin > file.size() || (file.size() - begin) / row < height);
}

inline bool is_cut_off(std::string_view file) {
    return file.starts_with("BM") && is_bmp_cut_off(file);
}

}  // namespace dalle2::detail
