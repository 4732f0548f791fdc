#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

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

TEST_CASE("classify knows nouns with the model's own templates, and prints the best first") {
    const TemporaryFolder folder;
    REQUIRE(run(folder, "data scenes --count 12 --pairs 0 --size 64 -o scenes").status == 0);
    int right = 0;
    for (int i = 0; i < 12; ++i) {
        const std::string name =
            "scenes/scene-00000" + std::string(i < 10 ? "0" : "") + std::to_string(i);
        const std::string caption = folder.read(name + ".txt");
        const Run made =
            run(folder, "classify " + name + ".png --labels 'a " + caption.substr(0, 0) +
                            "sun,owl, snowman ,an apple' --top 2");
        REQUIRE_MESSAGE(made.status == 0, made.err);
        CHECK(std::count(made.out.begin(), made.out.end(), '\n') == 2);
        right += made.out.find(" %  ") != std::string::npos;
    }
    CHECK(right == 12);
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
