#include <doctest/doctest.h>

#include <string>

#include <nlohmann/json.hpp>

#include <dalle2/io/picture.hpp>

#include "running.hpp"

namespace fs = std::filesystem;

namespace {

nlohmann::json hits(const Run& made) {
    REQUIRE_MESSAGE(made.status == 0, made.err);
    return nlohmann::json::parse(made.out);
}

}  // namespace

TEST_CASE("search finds the scene that a caption describes, and reads each picture once") {
    const TemporaryFolder folder;
    REQUIRE(run(folder, "data scenes --count 40 --size 32 -o scenes").status == 0);
    std::string caption = folder.read("scenes/scene-0000017.txt");
    caption = caption.substr(0, caption.find('\n'));
    const Run first = run(folder, "search scenes \"" + caption + "\" --json --top 3");
    const auto found = hits(first);
    REQUIRE(found.size() == 3);
    CHECK(found[0]["file"] == "scene-0000017.png");
    CHECK(found[0]["cosine"].get<double>() > found[1]["cosine"].get<double>());
    CHECK(first.err.find("40 new") != std::string::npos);
    CHECK(fs::exists(folder / "scenes/.dalle2-index"));

    // Later: nothing is said, as nothing is new.
    const Run again = run(folder, "search scenes \"" + caption + "\" --json --top 3");
    CHECK(again.err.empty());
    CHECK(hits(again) == found);

    // A copy of the picture below another name, its first place gone, and a file that is none.
    fs::create_directory(folder / "scenes/deep");
    fs::rename(folder / "scenes/scene-0000017.png", folder / "scenes/deep/<moved> & more.png");
    folder.write("scenes/broken.jpg", "no picture");
    const Run later =
        run(folder, "search scenes \"" + caption + "\" --json --top 1 --html found.html");
    CHECK(hits(later)[0]["file"] == "deep/<moved> & more.png");
    CHECK(later.err.find("1 new, 39 known, 1 gone") != std::string::npos);
    CHECK(later.err.find("broken.jpg") != std::string::npos);
    const std::string page = folder.read("found.html");
    CHECK(page.find("data:image/png;base64,") != std::string::npos);
    CHECK(page.find("href=\"./scenes/deep/%3Cmoved%3E%20%26%20more.png\"") != std::string::npos);
    CHECK(page.find("&lt;moved&gt; &amp; more.png") != std::string::npos);
    CHECK(page.find("<moved>") == std::string::npos);
    CHECK(run(folder, "search scenes \"" + caption + "\"").err.empty());
}

TEST_CASE("search by picture finds the picture itself; a damaged index is made anew") {
    const TemporaryFolder folder;
    REQUIRE(run(folder, "data scenes --count 5 --size 32 -o scenes").status == 0);
    const std::string command =
        "search scenes --picture scenes/scene-0000003.png --index index --json --top 1";
    CHECK(hits(run(folder, command))[0]["file"] == "scene-0000003.png");
    CHECK_FALSE(fs::exists(folder / "scenes/.dalle2-index"));
    folder.write("index", "damaged");
    const Run anew = run(folder, command);
    CHECK(hits(anew)[0]["cosine"].get<double>() == doctest::Approx(1).epsilon(1e-3));
    CHECK(anew.err.find("made anew") != std::string::npos);
    CHECK(anew.err.find("5 new") != std::string::npos);
}

TEST_CASE("search says what is missing") {
    const TemporaryFolder folder;
    fs::create_directory(folder / "empty");
    for (const char* arguments :
         {"none words", "empty words", "empty", "empty words --picture x.png",
          "empty words --html no/such/x.html", "empty words --model none"}) {
        CAPTURE(std::string(arguments));
        const Run wrong = run(folder, std::string("search ") + arguments);
        CHECK(wrong.status == 1);
        CHECK(wrong.out.empty());
        CHECK_MESSAGE(is_one_error_line(wrong.err), wrong.err);
    }
    CHECK(run(folder, "search").status == 2);
    CHECK(run(folder, "search empty words --top 0").status == 2);
}
