#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <dalle2/data/emoji_scenes.hpp>
#include <dalle2/io/picture.hpp>

#include "running.hpp"

namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

TEST_CASE("classify finds the caption of each scene among those of all, on the shipped model") {
    const TemporaryFolder folder;
    REQUIRE(run(folder, "data scenes --count 8 --size 64 -o scenes").status == 0);
    std::vector<std::string> captions;
    std::string all;
    for (int i = 0; i < 8; ++i) {
        captions.push_back(
            first_line(folder.read("scenes/scene-000000" + std::to_string(i) + ".txt")));
        all += captions.back() + "\n\n";
    }
    folder.write("captions.txt", all);
    const Run made = run(
        folder, "classify scenes/*.png --labels-file captions.txt --template {} --top 3 --json");
    REQUIRE_MESSAGE(made.status == 0, made.err);
    const auto json = nlohmann::json::parse(made.out);
    REQUIRE(json.size() == 8);
    for (std::size_t i = 0; i < 8; ++i) {
        CAPTURE(captions[i]);
        CHECK(json[i]["picture"] == "scenes/scene-000000" + std::to_string(i) + ".png");
        REQUIRE(json[i]["labels"].size() == 3);
        CHECK(json[i]["labels"][0]["label"] == captions[i]);
        // Of the same scale as in training, 16.
        const double cosine = json[i]["labels"][0]["cosine"], next = json[i]["labels"][1]["cosine"];
        const double ratio = json[i]["labels"][0]["probability"].get<double>() /
                             json[i]["labels"][1]["probability"].get<double>();
        CHECK(std::log(ratio) == doctest::Approx(16 * (cosine - next)).epsilon(1e-3));
    }
}

TEST_CASE("classify finds the noun of a scene among all 192 with the model's own templates") {
    const TemporaryFolder folder;
    REQUIRE(
        run(folder, "data scenes --count 20 --pairs 0 --colored 0 --size 64 -o scenes").status ==
        0);
    std::string nouns;
    for (const dalle2::Noun& noun : dalle2::emoji_nouns()) nouns += noun.name + "\n";
    folder.write("nouns.txt", nouns);
    const Run made = run(folder, "classify scenes/*.png --labels-file nouns.txt --top 1");
    REQUIRE_MESSAGE(made.status == 0, made.err);
    const dalle2::SceneStream stream(0, {.pairs = 0, .colored = 0});
    int right = 0;
    for (std::uint64_t i = 0; i < 20; ++i) {
        const auto noun = static_cast<std::size_t>(stream.scene(i).objects[0].noun);
        const std::string number = std::to_string(i);
        const std::size_t title =
            made.out.find("scene-" + std::string(7 - number.size(), '0') + number + ".png\n");
        REQUIRE(title != std::string::npos);
        const std::size_t line = made.out.find('\n', title) + 1;
        const std::string judged = made.out.substr(line, made.out.find('\n', line) - line);
        right += judged.ends_with(" %  " + dalle2::emoji_nouns()[noun].name);
    }
    CHECK(right >= 19);
    // As a table of one picture: the best first, no title.
    const Run one =
        run(folder, "classify scenes/scene-0000000.png --labels ' an owl ,sun,' --top 9");
    CHECK(one.status == 0);
    CHECK(std::count(one.out.begin(), one.out.end(), '\n') == 2);
    CHECK(one.out.find("an owl\n") != std::string::npos);
}

TEST_CASE("wrong labels, templates and pictures are errors that say so") {
    const TemporaryFolder folder;
    dalle2::write_png(folder / "x.png", dalle2::make_picture(4, 4));
    folder.write("empty.txt", " \n\n");
    folder.write("broken.png", "no picture");
    for (const char* arguments :
         {"x.png", "x.png --labels ' , '", "x.png --labels 'a cat,a cat'", "none.png --labels a,b",
          "broken.png --labels a,b", "x.png --labels-file none.txt",
          "x.png --labels-file empty.txt", "x.png --labels a,b --template 'a photo'",
          "x.png --labels a,b --templates none.txt", "x.png --labels a,b --model ."}) {
        CAPTURE(std::string(arguments));
        const Run wrong = run(folder, std::string("classify ") + arguments);
        CHECK(wrong.status == 1);
        CHECK(wrong.out.empty());
        CHECK_MESSAGE(is_one_error_line(wrong.err), wrong.err);
    }
    for (const char* arguments :
         {"", "x.png --labels a --labels-file b", "x.png --labels a --top 0",
          "x.png --labels a --template {} --templates imagenet"})
        CHECK(run(folder, std::string("classify ") + arguments).status == 2);
}
