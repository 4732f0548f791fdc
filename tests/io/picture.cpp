#include <dalle2/io/picture.hpp>

#include <doctest/doctest.h>

#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <string>

#include "temporary_folder.hpp"

using namespace dalle2;

namespace {

Picture noise(int width, int height, unsigned seed = 1) {
    Picture picture = make_picture(width, height);
    std::mt19937 random(seed);
    for (auto& level : picture.rgb) level = static_cast<std::uint8_t>(random());
    return picture;
}

// Levels that a value of [−1, 1] becomes.
int level(float value) {
    Array array = make_array({1, 1, 3}, value);
    return picture_from_array(array).rgb[0];
}

}  // namespace

TEST_CASE("a picture written as PNG is read back exactly, whatever its size") {
    TemporaryFolder folder;
    for (const auto& [width, height] : {std::pair{1, 1}, {1, 7}, {13, 1}, {31, 17}, {64, 64}}) {
        const Picture picture = noise(width, height);
        write_png(folder / "a.png", picture);
        CHECK(read_picture(folder / "a.png") == picture);
    }
    CHECK(folder.file_count() == 1);
}

TEST_CASE("levels are rounded half to even, clamped, and NaN is black") {
    CHECK(level(-1.0f) == 0);
    CHECK(level(1.0f) == 255);
    CHECK(level(-7.0f) == 0);
    CHECK(level(7.0f) == 255);
    CHECK(level(0.0f) == 128);  // 127.5
    CHECK(level(std::numeric_limits<float>::quiet_NaN()) == 0);
    CHECK(level(std::numeric_limits<float>::infinity()) == 255);
    CHECK(level(-std::numeric_limits<float>::infinity()) == 0);
    CHECK(level(2.0f * 0.4f / 255.0f - 1.0f) == 0);
    CHECK(level(2.0f * 0.6f / 255.0f - 1.0f) == 1);
}

TEST_CASE("every level survives the way to an array and back") {
    Picture picture = make_picture(256, 1);
    for (int i = 0; i < 256; ++i)
        for (int c = 0; c < 3; ++c) picture.pixel(i, 0)[c] = static_cast<std::uint8_t>(i);
    const Array array = array_from_picture(picture);
    CHECK(shape_of(array) == Shape{1, 1, 256, 3});
    CHECK(array(0, 0, 0, 0) == -1.0f);
    CHECK(array(0, 0, 255, 2) == 1.0f);
    CHECK(picture_from_array(array) == picture);
}

TEST_CASE("pictures are taken from a batch by their index, other shapes are refused") {
    Array batch = make_array({2, 4, 5, 3}, -1.0f);
    xt::view(batch, 1) = 1.0f;
    CHECK(picture_from_array(batch, 0) == make_picture(5, 4));
    CHECK(picture_from_array(batch, 1) == make_picture(5, 4, {255, 255, 255}));
    CHECK_THROWS_AS(picture_from_array(batch, 2), ShapeError);
    CHECK_THROWS_AS(picture_from_array(batch, -1), ShapeError);
    CHECK_THROWS_AS(picture_from_array(make_array({4, 4})), ShapeError);
    CHECK_THROWS_AS(picture_from_array(make_array({4, 4, 4})), ShapeError);
    CHECK_THROWS_AS(picture_from_array(make_array({1, 0, 4, 3})), ShapeError);
    CHECK_THROWS_AS(make_picture(0, 4), ShapeError);
}

TEST_CASE("text chunks are read back as they were written, and the pixels with them") {
    TemporaryFolder folder;
    const Picture picture = noise(9, 5);
    const PngText text = {{"prompt", "a red apple"},
                          {"seed", "7"},
                          {"empty", ""},
                          {"unicode", "zażółć 🦉"},
                          {"lines", "a\nb\tc"}};
    write_png(folder / "a.png", picture, text);
    CHECK(read_png_text(folder / "a.png") == text);
    CHECK(read_picture(folder / "a.png") == picture);
    write_png(folder / "b.png", picture);
    CHECK(read_png_text(folder / "b.png").empty());
}

TEST_CASE("text that PNG cannot hold is repaired, and a key that it cannot hold refused") {
    TemporaryFolder folder;
    const Picture picture = noise(2, 2);
    write_png(folder / "a.png", picture, {{"k", std::string("a\0b", 3)}, {"l", "\xff\xc3"}});
    CHECK(read_png_text(folder / "a.png") == PngText{{"k",
                                                      "a\xEF\xBF\xBD"
                                                      "b"},
                                                     {"l", "\xEF\xBF\xBD\xEF\xBF\xBD"}});
    CHECK_THROWS_AS(encode_png(picture, {{"", "x"}}), ConfigError);
    CHECK_THROWS_AS(encode_png(picture, {{std::string(80, 'k'), "x"}}), ConfigError);
    CHECK_THROWS_AS(encode_png(picture, {{"a\nb", "x"}}), ConfigError);
}

TEST_CASE(
    "a PNG file cut at any byte, or with any byte changed, gives a picture or a FormatError") {
    TemporaryFolder folder;
    const std::string png = encode_png(noise(6, 5), {{"prompt", "owl"}});
    const auto attempt = [](const std::string& bytes) {
        try {
            const Picture picture = decode_picture(bytes, "test");
            CHECK(picture.rgb.size() == 3 * static_cast<std::size_t>(picture.width) *
                                            static_cast<std::size_t>(picture.height));
        } catch (const FormatError&) {
        }
    };
    for (std::size_t length = 0; length < png.size(); ++length) {
        attempt(png.substr(0, length));
        folder.write("cut.png", png.substr(0, length));
        CHECK_THROWS_AS(read_png_text(folder / "cut.png"), FormatError);
    }
    for (std::size_t i = 0; i < png.size(); ++i)
        for (const int bit : {1, 0x80, 0xFF}) {
            std::string bytes = png;
            bytes[i] = static_cast<char>(bytes[i] ^ bit);
            attempt(bytes);
            folder.write("bad.png", bytes);
            CHECK_THROWS_AS(read_png_text(folder / "bad.png"), FormatError);
        }
}

TEST_CASE("a JPEG file is read, and one cut or changed anywhere gives a picture or a FormatError") {
    std::string jpeg;
    const auto append = [](void* context, void* data, int size) {
        static_cast<std::string*>(context)->append(static_cast<char*>(data),
                                                   static_cast<std::size_t>(size));
    };
    const Picture gray = make_picture(17, 9, {120, 120, 120});
    detail::stb::stbi_write_jpg_to_func(append, &jpeg, 17, 9, 3, gray.rgb.data(), 90);
    const Picture read = decode_picture(jpeg, "gray.jpg");
    REQUIRE(read.rgb.size() == gray.rgb.size());
    for (std::size_t i = 0; i < read.rgb.size(); ++i)
        CHECK(std::abs(int{read.rgb[i]} - int{gray.rgb[i]}) <= 2);
    std::size_t refused = 0;
    const auto attempt = [&](const std::string& bytes) {
        try {
            const Picture picture = decode_picture(bytes, "bad.jpg");
            CHECK(!picture.rgb.empty());
        } catch (const FormatError&) {
            ++refused;
        }
    };
    for (std::size_t length = 0; length < jpeg.size(); ++length) attempt(jpeg.substr(0, length));
    for (std::size_t i = 0; i < jpeg.size(); ++i)
        for (const int bits : {1, 0x80, 0xFF}) {
            std::string bytes = jpeg;
            bytes[i] = static_cast<char>(bytes[i] ^ bits);
            attempt(bytes);
        }
    CHECK(refused > jpeg.size());
    // A Huffman table of more than 256 symbols, before and after the start of the scan.
    std::string table = std::string("\xFF\xC4\x10\x13\x00", 5) + std::string(16, '\xFF');
    table.resize(2 + 0x1013);
    CHECK_THROWS_WITH_AS(decode_picture(std::string(jpeg).insert(2, table), "table.jpg"),
                         doctest::Contains("Huffman"), FormatError);
    CHECK_THROWS_WITH_AS(
        decode_picture(std::string(jpeg).insert(jpeg.size() - 2, table), "table.jpg"),
        doctest::Contains("Huffman"), FormatError);
}

TEST_CASE("a picture that claims an absurd size is refused before memory is taken for it") {
    std::string png = encode_png(noise(6, 5));
    for (const std::uint32_t side : {0u, 0x7FFFFFFFu, 0xFFFFFFFFu, 60000u}) {
        for (int i = 0; i < 4; ++i)
            png[static_cast<std::size_t>(16 + i)] = png[static_cast<std::size_t>(20 + i)] =
                static_cast<char>((side >> (24 - 8 * i)) & 0xFF);
        CHECK_THROWS_AS(decode_picture(png, "bomb"), FormatError);
    }
    CHECK_THROWS_AS(decode_picture(encode_png(noise(6, 5)), "big", {.pixels = 29}), FormatError);
    CHECK_NOTHROW(decode_picture(encode_png(noise(6, 5)), "fits", {.pixels = 30}));
}

TEST_CASE("what cannot be read is an error that names the file") {
    TemporaryFolder folder;
    CHECK_THROWS_WITH_AS(read_picture(folder / "none.png"), doctest::Contains("none.png"), IoError);
    CHECK_THROWS_WITH_AS(read_picture(folder.path()), doctest::Contains("directory"), IoError);
    folder.write("empty.png", "");
    CHECK_THROWS_WITH_AS(read_picture(folder / "empty.png"), doctest::Contains("empty"),
                         FormatError);
    folder.write("text.png", "this is no picture at all");
    CHECK_THROWS_WITH_AS(read_picture(folder / "text.png"), doctest::Contains("text.png"),
                         FormatError);
    CHECK_THROWS_AS(read_png_text(folder / "text.png"), FormatError);
}

TEST_CASE("what cannot be written is an error, and nothing is left behind") {
    TemporaryFolder folder;
    const Picture picture = noise(3, 3);
    folder.write("file", "x");
    CHECK_THROWS_AS(write_png(folder / "no/such/folder/a.png", picture), IoError);
    CHECK_THROWS_AS(write_png(folder / "file/a.png", picture), IoError);
    CHECK_THROWS_AS(write_png(folder.path(), picture), IoError);
    CHECK_THROWS_AS(write_png("", picture), IoError);
    CHECK_THROWS_AS(write_png(folder / std::string(300, 'n'), picture), IoError);
    CHECK_THROWS_AS(write_png(folder / "a.png", Picture{3, 3, {}}), ShapeError);
    CHECK_THROWS_AS(write_png(folder / "a.png", Picture{}), ShapeError);
    CHECK(folder.file_count() == 1);
    if (std::filesystem::exists("/dev/full")) {
        CHECK_THROWS_WITH_AS(write_png("/dev/full", picture), doctest::Contains("/dev/full"),
                             IoError);
        CHECK(std::filesystem::is_character_file("/dev/full"));
    }
}
