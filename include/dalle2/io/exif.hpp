// The orientation that a camera notes in a picture file, and pictures turned by it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include <dalle2/io/picture.hpp>

namespace dalle2 {

namespace detail {

// A number of `size` bytes at `place`, or 0 beyond the end.
inline std::uint32_t tiff_number(std::string_view tiff, std::size_t place, std::size_t size,
                                 bool little_endian) {
    if (place > tiff.size() || tiff.size() - place < size) return 0;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
        const std::size_t byte = little_endian ? size - 1 - i : i;
        value = (value << 8) | static_cast<unsigned char>(tiff[place + byte]);
    }
    return value;
}

// Tag 0x0112 of the first directory of a block of TIFF, 1 to 8; 1, upright, where it is absent or
// damaged.
inline int tiff_orientation(std::string_view tiff) {
    const bool little = tiff.starts_with(std::string_view("II*\0", 4));
    if (!little && !tiff.starts_with(std::string_view("MM\0*", 4))) return 1;
    const std::size_t directory = tiff_number(tiff, 4, 4, little);
    const std::size_t entries = tiff_number(tiff, directory, 2, little);
    for (std::size_t i = 0; i < entries; ++i) {
        const std::size_t entry = directory + 2 + 12 * i;
        if (entry >= tiff.size()) break;
        if (tiff_number(tiff, entry, 2, little) != 0x0112) continue;
        constexpr std::uint32_t short_type = 3;
        const std::uint32_t type = tiff_number(tiff, entry + 2, 2, little);
        const std::uint32_t value =
            tiff_number(tiff, entry + 8, type == short_type ? 2 : 4, little);
        return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
    return 1;
}

// The Exif block of a JPEG file (its first APP1 segment that is one) or of a PNG file (its eXIf
// chunk), or nothing.
inline std::string_view exif_block(std::string_view file) {
    constexpr std::string_view start_of_image = "\xFF\xD8", exif("Exif\0\0", 6);
    if (file.starts_with(start_of_image)) {
        file.remove_prefix(2);
        while (file.size() >= 4 && file[0] == '\xFF') {
            const auto marker = static_cast<unsigned char>(file[1]);
            if (marker == 0xFF) {  // fill
                file.remove_prefix(1);
                continue;
            }
            if (marker == 0xDA || marker == 0xD9) return {};
            const std::size_t length = tiff_number(file, 2, 2, false);
            if (length < 2 || length > file.size() - 2) return {};
            const std::string_view data = file.substr(4, length - 2);
            if (marker == 0xE1 && data.starts_with(exif)) return data.substr(exif.size());
            file.remove_prefix(2 + length);
        }
    } else if (file.starts_with(png_signature)) {
        file.remove_prefix(png_signature.size());
        while (file.size() >= 12) {
            const std::size_t length = read_big_endian(file);
            if (length > file.size() - 12) return {};
            if (file.substr(4, 4) == "eXIf") {
                std::string_view data = file.substr(8, length);
                if (data.starts_with(exif)) data.remove_prefix(exif.size());
                return data;
            }
            file.remove_prefix(12 + length);
        }
    }
    return {};
}

}  // namespace detail

// The orientation that a picture file states, 1 to 8 as in Exif; 1, upright, where it states none.
inline int exif_orientation(std::string_view file) {
    return detail::tiff_orientation(detail::exif_block(file));
}

// The picture turned and mirrored so that it stands upright, given its orientation: 1 to 8 of Exif;
// others change nothing.
inline Picture upright(const Picture& picture, int orientation) {
    if (orientation < 2 || orientation > 8) return picture;
    const bool turned = orientation >= 5;  // rows become columns
    int width = picture.width, height = picture.height;
    if (turned) std::swap(width, height);
    Picture result = make_picture(width, height);
    const bool from_right =
        orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool from_bottom =
        orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x) {
            int from_x = turned ? y : x, from_y = turned ? x : y;
            if (from_right) from_x = picture.width - 1 - from_x;
            if (from_bottom) from_y = picture.height - 1 - from_y;
            std::copy_n(picture.pixel(from_x, from_y), 3, result.pixel(x, y));
        }
    return result;
}

}  // namespace dalle2
