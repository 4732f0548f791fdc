// Pictures: 8 bits for each of red, green and blue, and their files.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dalle2/core/array.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/io/atomic_file.hpp>
#include <dalle2/io/crc32.hpp>
#include <dalle2/io/file.hpp>
#include <dalle2/io/jpeg_check.hpp>
#include <dalle2/io/picture_length.hpp>
#include <dalle2/io/stb.hpp>
#include <dalle2/io/utf8.hpp>

namespace dalle2 {

struct Picture {
    int width = 0;
    int height = 0;
    std::vector<std::uint8_t> rgb;  // row by row from the top, three bytes a pixel

    const std::uint8_t* pixel(int x, int y) const {
        return rgb.data() + 3 * (static_cast<std::size_t>(y) * static_cast<std::size_t>(width) +
                                 static_cast<std::size_t>(x));
    }
    std::uint8_t* pixel(int x, int y) {
        return const_cast<std::uint8_t*>(std::as_const(*this).pixel(x, y));
    }
    bool operator==(const Picture&) const = default;
};

// A picture of one colour. Throws ShapeError for sizes below one.
inline Picture make_picture(int width, int height, std::array<std::uint8_t, 3> color = {}) {
    if (width < 1 || height < 1)
        throw ShapeError("a picture of " + std::to_string(width) + "×" + std::to_string(height) +
                         " pixels: both sides must be at least 1");
    Picture picture{width, height, {}};
    const std::size_t pixels = static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
    picture.rgb.reserve(3 * pixels);
    for (std::size_t i = 0; i < pixels; ++i)
        picture.rgb.insert(picture.rgb.end(), color.begin(), color.end());
    return picture;
}

// One picture of a batch [batch, height, width, 3] with values from −1 to 1 (a [height, width, 3]
// array counts as a batch of one). Values outside are clamped, NaN becomes 0; levels are rounded
// half to even: round(255·(x/2 + 1/2)) in float, as diffusers does it. Throws ShapeError.
inline Picture picture_from_array(const Array& array, std::int64_t index = 0) {
    Shape shape = shape_of(array);
    if (shape.size() == 3) shape.insert(shape.begin(), 1);
    if (shape.size() != 4 || shape[3] != 3 || index < 0 || index >= shape[0])
        throw ShapeError("no picture " + std::to_string(index) + " in an array of shape " +
                         to_string(shape_of(array)) + "; expected [batch, height, width, 3]");
    if (shape[1] > 65535 || shape[2] > 65535)
        throw ShapeError("a picture of " + to_string(shape) + " is too large");
    Picture picture = make_picture(static_cast<int>(shape[2]), static_cast<int>(shape[1]));
    const float* values = array.data() + static_cast<std::size_t>(index) * picture.rgb.size();
    for (std::size_t i = 0; i < picture.rgb.size(); ++i) {
        const float unit = values[i] * 0.5f + 0.5f;
        const float level = !(unit > 0.0f) ? 0.0f : unit < 1.0f ? unit * 255.0f : 255.0f;
        picture.rgb[i] = static_cast<std::uint8_t>(std::nearbyint(level));
    }
    return picture;
}

// The picture as an array [1, height, width, 3] with values from −1 to 1: 2·(level/255) − 1 in
// float.
inline Array array_from_picture(const Picture& picture) {
    Array array = make_array({1, picture.height, picture.width, 3});
    float* values = array.data();
    for (std::size_t i = 0; i < picture.rgb.size(); ++i)
        values[i] = 2.0f * (static_cast<float>(picture.rgb[i]) / 255.0f) - 1.0f;
    return array;
}

struct PictureLimits {
    std::int64_t pixels = std::int64_t{1} << 26;  // width × height, 8192 × 8192
    std::uint64_t file_size = std::uint64_t{1} << 28;
};

// Decodes a picture file held in memory: PNG, JPEG or BMP. Grey becomes RGB, 16 bits become 8, an
// alpha channel is dropped, an orientation tag is not applied. `name` stands in messages. Throws
// FormatError; a size above the limits is refused before anything is allocated for it.
inline Picture decode_picture(std::string_view bytes, const std::string& name,
                              const PictureLimits& limits = {}) {
    const auto fail = [&](const std::string& why) {
        throw FormatError("cannot read " + name + " as a picture: " + why +
                          "; expected PNG, JPEG or BMP");
    };
    if (bytes.empty()) fail("it is empty");
    if (bytes.size() > limits.file_size || bytes.size() > std::size_t{INT_MAX})
        fail("it is longer than " + std::to_string(limits.file_size) + " bytes");
    detail::JpegCheck jpeg(bytes);
    if (!jpeg.holds()) fail("a Huffman table with too many symbols");
    bytes = jpeg.checked();
    if (!jpeg.ends() || detail::is_cut_off(bytes)) fail("it is cut off");
    const auto* data = reinterpret_cast<const detail::stb::stbi_uc*>(bytes.data());
    const int size = static_cast<int>(bytes.size());
    const auto reason = [] {
        const char* text = detail::stb::stbi_failure_reason();
        return std::string(text ? text : "unknown reason");
    };
    int width = 0, height = 0, channels = 0;
    if (!detail::stb::stbi_info_from_memory(data, size, &width, &height, &channels)) fail(reason());
    const std::string extent = std::to_string(width) + "×" + std::to_string(height);
    if (width < 1 || height < 1 || std::int64_t{width} * height > limits.pixels)
        fail("a size of " + extent + " pixels, more than the limit of " +
             std::to_string(limits.pixels));
    // No decoder needs more than 8 bytes a pixel (4 channels, 16 bits) at once, with margins, or a
    // copy of the file: what would unpack to more is a trap.
    const std::size_t margin = 128;
    const detail::StbBlockLimit memory(65536 + 2 * bytes.size() +
                                       8 * (static_cast<std::size_t>(width) + margin) *
                                           (static_cast<std::size_t>(height) + margin));
    struct Free {
        void operator()(detail::stb::stbi_uc* pixels) const {
            detail::stb::stbi_image_free(pixels);
        }
    };
    const std::unique_ptr<detail::stb::stbi_uc, Free> pixels(
        detail::stb::stbi_load_from_memory(data, size, &width, &height, &channels, 3));
    if (!pixels) fail(reason());
    const std::size_t count =
        3 * static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
    return Picture{width, height, std::vector<std::uint8_t>(pixels.get(), pixels.get() + count)};
}

// Reads a picture file. Throws IoError when it cannot be opened, FormatError as decode_picture.
inline Picture read_picture(const std::filesystem::path& path, const PictureLimits& limits = {}) {
    return decode_picture(read_file(path, limits.file_size), path.string(), limits);
}

// Pairs of key and value that travel in a PNG file, such as {"prompt", "a red apple"}.
using PngText = std::vector<std::pair<std::string, std::string>>;

namespace detail {

inline constexpr std::string_view png_signature = "\x89PNG\r\n\x1a\n";

inline void append_big_endian(std::string& bytes, std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8)
        bytes += static_cast<char>((value >> shift) & 0xFF);
}

inline std::uint32_t read_big_endian(std::string_view bytes) {
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i)
        value = (value << 8) | static_cast<unsigned char>(bytes[static_cast<std::size_t>(i)]);
    return value;
}

// A text chunk: tEXt for plain ASCII, which every program reads, iTXt (UTF-8) otherwise. PNG text
// cannot hold zero bytes: they, and bytes that are not UTF-8, become U+FFFD.
inline std::string png_text_chunk(const std::string& key, const std::string& value) {
    bool valid = !key.empty() && key.size() <= 79 && key.front() != ' ' && key.back() != ' ';
    for (const char c : key) valid = valid && c >= 32 && c <= 126;
    if (!valid)
        throw ConfigError("PNG text key \"" + key +
                          "\": expected 1 to 79 printable ASCII characters");
    if (value.size() > (std::size_t{1} << 26))
        throw ConfigError("PNG text \"" + key + "\" is longer than 64 MiB");
    bool ascii = true;
    for (const char c : value) ascii = ascii && c > 0;
    std::u32string codes = decode_utf8(value);
    for (char32_t& code : codes)
        if (code == 0) code = replacement_character;
    std::string chunk = (ascii ? "tEXt" : "iTXt") + key + '\0';
    if (!ascii)
        chunk.append(4, '\0');  // not compressed (two bytes), no language, no translated key
    return chunk + encode_utf8(codes);
}

}  // namespace detail

// The bytes of a PNG file of the picture. Throws ShapeError when its sizes and pixels disagree,
// ConfigError for a text key that PNG does not allow.
inline std::string encode_png(const Picture& picture, const PngText& text = {}) {
    const std::int64_t expected = std::int64_t{picture.width} * picture.height * 3;
    if (picture.width < 1 || picture.height < 1 ||
        static_cast<std::int64_t>(picture.rgb.size()) != expected || expected > (1 << 30))
        throw ShapeError("cannot write a picture of " + std::to_string(picture.width) + "×" +
                         std::to_string(picture.height) + " pixels with " +
                         std::to_string(picture.rgb.size()) + " bytes");
    int length = 0;
    struct Free {
        void operator()(unsigned char* block) const { std::free(block); }
    };
    const std::unique_ptr<unsigned char, Free> encoded(detail::stb::stbi_write_png_to_mem(
        picture.rgb.data(), picture.width * 3, picture.width, picture.height, 3, &length));
    if (!encoded) throw IoError("not enough memory to encode a picture as PNG");
    const std::string_view png(reinterpret_cast<const char*>(encoded.get()),
                               static_cast<std::size_t>(length));
    // Text goes right after the header chunk: 8 bytes of signature, 25 of IHDR.
    constexpr std::size_t header = 33;
    std::string bytes(png.substr(0, header));
    for (const auto& [key, value] : text) {
        const std::string chunk = detail::png_text_chunk(key, value);
        detail::append_big_endian(bytes, static_cast<std::uint32_t>(chunk.size() - 4));
        bytes += chunk;
        detail::append_big_endian(bytes, detail::crc32(chunk));
    }
    bytes += png.substr(header);
    return bytes;
}

// Writes a PNG file, complete or not at all. Throws IoError, and what encode_png throws.
inline void write_png(const std::filesystem::path& path, const Picture& picture,
                      const PngText& text = {}) {
    write_file(path, encode_png(picture, text));
}

// The text chunks of a PNG file in their order, as UTF-8. Compressed ones are passed over. Throws
// IoError when the file cannot be read, FormatError when it is not a PNG file or is damaged.
inline PngText read_png_text(const std::filesystem::path& path) {
    const std::string file = read_file(path, PictureLimits{}.file_size);
    const auto fail = [&](const std::string& why) {
        throw FormatError(path.string() + ": " + why + "; expected a PNG file");
    };
    std::string_view rest = file;
    if (!rest.starts_with(detail::png_signature)) fail("does not begin like a PNG file");
    rest.remove_prefix(detail::png_signature.size());
    PngText text;
    while (true) {
        if (rest.size() < 12) fail("ends in the middle");
        const std::size_t length = detail::read_big_endian(rest);
        if (length > rest.size() - 12) fail("ends in the middle");
        const std::string_view type = rest.substr(4, 4);
        std::string_view data = rest.substr(8, length);
        if (detail::crc32(rest.substr(4, 4 + length)) !=
            detail::read_big_endian(rest.substr(8 + length)))
            fail("a damaged chunk (its check sum is wrong)");
        rest.remove_prefix(12 + length);
        if (type == "IEND") return text;
        const std::size_t zero = data.find('\0');
        if ((type != "tEXt" && type != "iTXt") || zero == std::string_view::npos) continue;
        const std::string key(data.substr(0, zero));
        data.remove_prefix(zero + 1);
        std::string value;
        if (type == "tEXt") {
            for (const char c : data) append_utf8(value, static_cast<unsigned char>(c));
        } else {
            if (data.size() < 2 || data[0] != 0) continue;
            data.remove_prefix(2);
            for (int field = 0; field < 2; ++field) {  // the language, the translated key
                const std::size_t end = data.find('\0');
                if (end == std::string_view::npos) fail("a damaged text chunk");
                data.remove_prefix(end + 1);
            }
            value = repaired_utf8(data);
        }
        text.emplace_back(repaired_utf8(key), std::move(value));
    }
}

}  // namespace dalle2
