#include <doctest/doctest.h>

#include <dalle2/data/emoji_scenes.hpp>
#include <dalle2/data/picture_folder.hpp>
#include <dalle2/io/picture.hpp>

#include "running.hpp"

TEST_CASE("data scenes writes pictures with captions that training can read") {
    const TemporaryFolder folder;
    const Run written = run(folder, "data scenes --count 5 --size 32 -o scenes");
    REQUIRE(written.err.find("error") == std::string::npos);
    CHECK(written.status == 0);
    const auto entries = dalle2::list_pictures(folder / "scenes");
    REQUIRE(entries.size() == 5);
    const dalle2::SceneStream stream(0);
    CHECK(entries[3].captions.at(0) == stream.caption(3));
    CHECK(dalle2::read_picture(entries[3].picture).width == 32);

    // Scene 3 is the same scene wherever a folder begins.
    CHECK(run(folder, "data scenes --first 3 --count 1 --size 32 -o later").status == 0);
    CHECK(folder.read("later/scene-0000003.png") == folder.read("scenes/scene-0000003.png"));
}

TEST_CASE("data scenes does not write into a folder that holds something") {
    const TemporaryFolder folder;
    folder.write("scenes/mine.txt", "precious");
    const Run refused = run(folder, "data scenes --count 1 -o scenes");
    CHECK(refused.status == 1);
    CHECK(is_one_error_line(refused.err));
    CHECK(folder.file_count() == 2);
}

TEST_CASE("data sheet draws as many scenes as asked, on one picture") {
    const TemporaryFolder folder;
    const Run drawn = run(folder, "data sheet --columns 3 --rows 2 --size 16 -o sheet.png");
    CHECK(drawn.status == 0);
    CHECK(std::count(drawn.out.begin(), drawn.out.end(), '\n') == 6);
    const dalle2::Picture sheet = dalle2::read_picture(folder / "sheet.png");
    CHECK(sheet.width == 3 * 16 + 2 * 2);
    CHECK(sheet.height == 2 * 16 + 2);
}

TEST_CASE("an absent font is named, with the package that has it") {
    const TemporaryFolder folder;
    const Run refused = run(folder, "data scenes --count 1 -o scenes --font none.ttf");
    CHECK(refused.status == 1);
    CHECK(is_one_error_line(refused.err));
    CHECK(refused.err.find("none.ttf") != std::string::npos);
    CHECK(refused.err.find("fonts-noto-color-emoji") != std::string::npos);
    CHECK(folder.file_count() == 0);
}
