// Picture files as the reference's preprocessing sees them, PIL's Image.open(…).convert("RGB").
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/exif.hpp>
#include <dalle2/io/picture.hpp>

namespace dalle2 {

struct ClipPictureOptions {
    // Turn a picture as its Exif orientation says. transformers' CLIPImageProcessor does not, given
    // what Image.open returns; transformers' load_image, which its pipelines call, does.
    bool upright = false;
    PictureLimits limits = {};
};

namespace detail {

// Grey levels of 16 bits, a PNG of colour type 0: to PIL they are whole numbers, of which it keeps
// what is below 256 and calls the rest white.
inline bool is_grey16_png(std::string_view file) {
    return file.starts_with(png_signature) && file.size() > 26 && file.substr(12, 4) == "IHDR" &&
           file[24] == 16 && file[25] == 0;
}

inline Picture decode_grey16_png(std::string_view file, const std::string& name,
                                 const PictureLimits& limits) {
    // Finds what is wrong with the file, if anything is.
    Picture picture = decode_picture(file, name, limits);
    struct Free {
        void operator()(stb::stbi_us* levels) const { stb::stbi_image_free(levels); }
    };
    int width = 0, height = 0, channels = 0;
    const std::unique_ptr<stb::stbi_us, Free> levels(stb::stbi_load_16_from_memory(
        reinterpret_cast<const stb::stbi_uc*>(file.data()), static_cast<int>(file.size()), &width,
        &height, &channels, 1));
    if (!levels || width != picture.width || height != picture.height)
        throw FormatError("cannot read " + name + " as a picture: out of memory");
    for (std::size_t i = 0; i < picture.rgb.size(); ++i)
        picture.rgb[i] = static_cast<std::uint8_t>(std::min<unsigned>(levels.get()[i / 3], 255));
    return picture;
}

// Is it a JPEG file of four colours without Adobe's marker? PIL takes it for inverted CMYK, as if
// the marker were there; stb_image takes three of the colours for a picture.
inline bool is_plain_cmyk_jpeg(std::string_view file) {
    if (!file.starts_with("\xFF\xD8")) return false;
    bool four_colours = false;
    for (std::size_t place = 2; place + 10 <= file.size() && file[place] == '\xFF';) {
        const auto marker = static_cast<unsigned char>(file[place + 1]);
        if (marker == 0xFF) {
            ++place;
            continue;
        }
        if (marker == 0xDA) break;
        const std::size_t length = tiff_number(file, place + 2, 2, false);
        if (marker == 0xEE && file.substr(place + 4).starts_with("Adobe")) return false;
        const bool frame = marker >= 0xC0 && marker <= 0xC2;
        if (frame) four_colours = file[place + 9] == 4;
        place += 2 + length;
    }
    return four_colours;
}

}  // namespace detail

// Decodes a picture file in memory: PNG, JPEG or BMP. Alpha is dropped, not blended; 16-bit colours
// keep their high bytes, 16-bit greys become min(level, 255), as in PIL. `name` stands in messages.
// Throws as decode_picture.
inline Picture decode_clip_picture(std::string_view bytes, const std::string& name,
                                   const ClipPictureOptions& options = {}) {
    const auto decode = [&] {
        if (detail::is_grey16_png(bytes))
            return detail::decode_grey16_png(bytes, name, options.limits);
        if (!detail::is_plain_cmyk_jpeg(bytes)) return decode_picture(bytes, name, options.limits);
        // APP14 of 14 bytes: the name, version 100, two words of flags, transform 0 (CMYK).
        constexpr std::string_view adobe(
            "\xFF\xEE\0\x0E"
            "Adobe\0\x64\0\0\0\0\0",
            16);
        std::string marked(bytes.substr(0, 2));
        marked.append(adobe).append(bytes.substr(2));
        return decode_picture(marked, name, options.limits);
    };
    const Picture picture = decode();
    return options.upright ? upright(picture, exif_orientation(bytes)) : picture;
}

// Reads a picture file. Throws IoError when it cannot be opened, otherwise as decode_clip_picture.
inline Picture read_clip_picture(const std::filesystem::path& path,
                                 const ClipPictureOptions& options = {}) {
    return decode_clip_picture(read_file(path, options.limits.file_size), path.string(), options);
}

}  // namespace dalle2
