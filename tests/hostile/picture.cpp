#include <dalle2/io/picture.hpp>

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "bounded.hpp"

using namespace dalle2;

namespace {

const std::filesystem::path seeds =
    std::filesystem::path(__FILE__).parent_path().parent_path() / "fuzz" / "seeds" / "picture";

std::string read_seed(const std::string& name) {
    std::ifstream file(seeds / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

const std::vector<std::string> names = {"rgb.png",     "grey.png", "palette.png", "alpha.png",
                                        "one_bit.png", "rgb.jpg",  "grey.jpg",    "progressive.jpg",
                                        "turned.jpg",  "rgb.bmp",  "palette.bmp"};

bool is_read(const std::string& bytes) {
    try {
        const Picture picture = decode_picture(bytes, "x");
        CHECK(picture.rgb.size() == 3 * static_cast<std::size_t>(picture.width) *
                                        static_cast<std::size_t>(picture.height));
        return true;
    } catch (const FormatError&) {
        return false;
    }
}

void check_picture(const std::string& bytes, const std::string& text) {
    const std::string message =
        hostile::check_refused(bytes.size(), [&] { (void)decode_picture(bytes, "x.png"); });
    INFO(message);
    CHECK(message.find(text) != std::string::npos);
}

std::string big_endian(std::uint32_t value) {
    std::string text;
    detail::append_big_endian(text, value);
    return text;
}
std::string chunk(const std::string& type, const std::string& data) {
    return big_endian(static_cast<std::uint32_t>(data.size())) + type + data +
           big_endian(detail::crc32(type + data));
}
std::string png(std::uint32_t width, std::uint32_t height, const std::string& compressed,
                const std::string& depth_and_type = std::string("\x08\x02", 2)) {
    return std::string(detail::png_signature) +
           chunk("IHDR",
                 big_endian(width) + big_endian(height) + depth_and_type + std::string(3, '\0')) +
           chunk("IDAT", compressed) + chunk("IEND", "");
}

// A zlib stream of `count` runs of 258 zeros, two bits each: fixed Huffman codes, where a literal 0
// is 00110000, a length of 258 is 11000101 and a distance of 1 is 00000.
std::string zeros(std::size_t count) {
    std::string bytes = "\x78\x9C";
    unsigned buffer = 0;
    int filled = 0;
    const auto put = [&](const char* bits) {
        for (; *bits; ++bits) {
            buffer |= static_cast<unsigned>(*bits - '0') << filled;
            if (++filled == 8) {
                bytes += static_cast<char>(buffer);
                buffer = 0;
                filled = 0;
            }
        }
    };
    put("110");  // the last block; its type, lowest bit first
    put("00110000");
    for (std::size_t i = 0; i < count; ++i) {
        put("11000101");
        put("00000");
    }
    put("0000000");
    while (filled != 0) put("0");
    return bytes + std::string(4, '\0');
}

}  // namespace

TEST_CASE("a picture cut at any byte is refused") {
    for (const std::string& name : names) {
        CAPTURE(name);
        const std::string whole = read_seed(name);
        REQUIRE(is_read(whole));
        // The check sum of a PNG's last chunk says nothing of the picture.
        const std::size_t last = whole.size() - (name.ends_with(".png") ? 8 : 0);
        for (std::size_t length = 0; length < last; ++length) {
            CAPTURE(length);
            CHECK_FALSE(is_read(whole.substr(0, length)));
        }
    }
}

TEST_CASE("a picture with any byte changed gives a picture or a FormatError") {
    for (const std::string& name : names) {
        const std::string whole = read_seed(name);
        for (std::size_t i = 0; i < whole.size(); ++i)
            for (const int bits : {1, 0x10, 0x80, 0xFF}) {
                std::string bytes = whole;
                bytes[i] = static_cast<char>(bytes[i] ^ bits);
                is_read(bytes);
            }
    }
}

TEST_CASE("pictures without pixels, and pictures 100,000 pixels wide, are refused") {
    const std::string compressed = zeros(1);
    for (const auto& [width, height] : {std::pair{0u, 0u},
                                        {0u, 7u},
                                        {7u, 0u},
                                        {100'000u, 1u},
                                        {1u, 100'000u},
                                        {100'000u, 100'000u},
                                        {0x7FFFFFFFu, 0x7FFFFFFFu},
                                        {0xFFFFFFFFu, 0xFFFFFFFFu}})
        check_picture(png(width, height, compressed), "picture");
    for (const char* name : {"rgb.jpg", "progressive.jpg"}) {
        std::string jpeg = read_seed(name);
        const std::size_t frame =
            jpeg.find(name == std::string("rgb.jpg") ? "\xFF\xC0" : "\xFF\xC2");
        REQUIRE(frame != std::string::npos);
        jpeg.replace(frame + 5, 4, "\xFF\xFF\xFF\xFF");
        check_picture(jpeg, "limit");
        jpeg.replace(frame + 5, 4, std::string(4, '\0'));
        check_picture(jpeg, "picture");
    }
    std::string bmp = read_seed("rgb.bmp");
    for (const std::string& side : {std::string("\xA0\x86\x01\0", 4), std::string(4, '\0'),
                                    std::string(4, '\xFF'), std::string("\0\0\0\x80", 4)}) {
        bmp.replace(18, 8, side + side);
        check_picture(bmp, "picture");
    }
}

TEST_CASE("a picture that unpacks to more than its size is refused before it does") {
    // 258 MB of zeros for one pixel, and for a picture of the claimed size.
    const std::string bomb = zeros(1'000'000);
    CHECK(bomb.size() < 2'000'000);
    check_picture(png(1, 1, bomb), "");
    check_picture(png(1000, 1000, bomb), "");
    // Too little for the size that is claimed.
    check_picture(png(8192, 8192, zeros(1)), "");
    check_picture(png(8192, 8192, zeros(1), std::string("\x10\x06", 2)), "");
    // As much as the size demands is a picture.
    CHECK(is_read(png(85, 1, zeros(1))));
}

TEST_CASE("what is no picture is refused") {
    check_picture("", "empty");
    check_picture("x", "picture");
    check_picture(std::string(10'000'000, '\0'), "picture");
    check_picture(std::string(10'000'000, '\xFF'), "picture");
    check_picture("\xFF\xD8" + std::string(10'000'000, '\xFF'), "picture");
    check_picture("BM" + std::string(10'000'000, '\x7F'), "picture");
    check_picture(std::string(detail::png_signature) + std::string(10'000'000, '\0'), "picture");
    check_picture("GIF89a" + std::string(1000, '\1'), "picture");
    check_picture("<svg xmlns='http://www.w3.org/2000/svg'/>", "picture");
    check_picture("PK\x03\x04" + std::string(1000, 'x'), "picture");
}
