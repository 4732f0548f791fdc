// Picture files against what PIL's Image.open(…).convert("RGB") makes of them.
#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include <dalle2/clip/picture_file.hpp>

#include "../golden/golden_files.hpp"

using namespace dalle2;

namespace {

std::vector<std::uint8_t> from_hex(const std::string& hex) {
    std::vector<std::uint8_t> bytes;
    for (std::size_t i = 0; i < hex.size(); i += 2)
        bytes.push_back(static_cast<std::uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    return bytes;
}

// The decoders of JPEG round in other places, at most this much for these files.
int largest_difference(const std::string& file) {
    return !file.ends_with(".jpg") ? 0 : file.find("420") != std::string::npos ? 3 : 2;
}

void check_levels(const Picture& picture, const nlohmann::json& size, const std::string& hex,
                  int allowed) {
    REQUIRE(picture.width == size[0].get<int>());
    REQUIRE(picture.height == size[1].get<int>());
    const std::vector<std::uint8_t> expected = from_hex(hex);
    REQUIRE(picture.rgb.size() == expected.size());
    int difference = 0;
    for (std::size_t i = 0; i < expected.size(); ++i)
        difference = std::max(difference, std::abs(picture.rgb[i] - expected[i]));
    CHECK(difference <= allowed);
}

}  // namespace

TEST_CASE("picture files of every kind are read as PIL reads them, and turned only when asked") {
    const auto records = golden::read_json(golden::folder() / "preprocess.json")["pictures"];
    REQUIRE(records.size() > 30);
    int turned = 0;
    for (const auto& record : records) {
        const std::string file = record["file"];
        CAPTURE(file);
        const auto path = golden::folder() / "pictures" / file;
        const int allowed = largest_difference(file);
        check_levels(read_clip_picture(path), record["levels_size"], record["levels"], allowed);
        if (!record.contains("upright")) continue;
        ++turned;
        check_levels(read_clip_picture(path, {.upright = true}), record["upright_size"],
                     record["upright"], allowed);
    }
    CHECK(turned == 10);
}

TEST_CASE("a damaged orientation is upright, whatever the bytes") {
    const std::string file = read_file(golden::folder() / "pictures/orientation_6.jpg");
    REQUIRE(exif_orientation(file) == 6);
    for (std::size_t length = 0; length < 200; ++length) {
        const int cut = exif_orientation(file.substr(0, length));
        CHECK((cut == 1 || cut == 6));
    }
    for (std::size_t i = 0; i < 120; ++i)
        for (const int flip : {1, 0x80, 0xFF}) {
            std::string changed = file;
            changed[i] = static_cast<char>(changed[i] ^ flip);
            const int found = exif_orientation(changed);
            CHECK((found >= 1 && found <= 8));
        }
    CHECK(exif_orientation("") == 1);
}

TEST_CASE("files that are no pictures are errors that name them") {
    for (const std::string& bytes : {std::string(), std::string("text"),
                                     std::string("\xFF\xD8\xFF"), std::string("\x89PNG\r\n\x1a\n")})
        CHECK_THROWS_WITH_AS(decode_clip_picture(bytes, "file.jpg"), doctest::Contains("file.jpg"),
                             FormatError);
    const std::string grey = read_file(golden::folder() / "pictures/grey_16.png");
    CHECK_THROWS_AS(decode_clip_picture(grey.substr(0, 40), "grey.png"), FormatError);
    CHECK_THROWS_AS(decode_clip_picture(grey, "grey.png", {.limits = {.pixels = 5}}), FormatError);
}
