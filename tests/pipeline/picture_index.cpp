// The index with a model that is easy to follow: a picture's embedding is its mean colour.
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

#include <dalle2/pipeline/picture_index.hpp>

#include "../io/temporary_folder.hpp"

using namespace dalle2;
namespace fs = std::filesystem;

namespace {

struct Counted {
    std::vector<std::string> read;  // names of files, in any order
    std::vector<std::string> skipped, notices;
};

PictureEmbedder mean_color(float scale = 1) {
    const auto embed = [scale](const std::vector<Array>& pixels) {
        Array all = make_array({static_cast<std::int64_t>(pixels.size()), 3});
        for (std::size_t i = 0; i < pixels.size(); ++i)
            for (std::size_t k = 0; k < pixels[i].size(); ++k)
                all.data()[3 * i + k % 3] += pixels[i].data()[k] + (k % 3 == 0 ? scale - 1 : 0);
        return all;
    };
    return {.read = [](const fs::path& file) { return array_from_picture(read_picture(file)); },
            .embed = embed,
            .settings = "mean",
            .probe = embed({array_from_picture(index_probe())})};
}

Array query(float red, float green, float blue) {
    Array array = make_array({1, 3});
    array(0, 0) = red, array(0, 1) = green, array(0, 2) = blue;
    return array;
}

std::vector<std::string> names(const std::vector<IndexHit>& hits) {
    std::vector<std::string> found;
    for (const IndexHit& hit : hits) found.push_back(hit.file);
    return found;
}

void paint(const fs::path& file, std::array<std::uint8_t, 3> color) {
    fs::create_directories(file.parent_path());
    write_png(file, make_picture(3, 2, color));
}

struct Case {
    TemporaryFolder folder;
    Counted counted;
    fs::path file = folder / ".dalle2-index/index";

    PictureIndex open(float scale = 1, const std::string& settings = "mean") {
        PictureEmbedder embedder = mean_color(scale);
        embedder.settings = settings;
        return PictureIndex(file, embedder,
                            [this](const std::string& why) { counted.notices.push_back(why); });
    }
    IndexUpdate update(PictureIndex& index) {
        return index.update(
            folder.path(),
            {.batch = 2, .on_skip = [this](const std::string& name, const std::string&) {
                 counted.skipped.push_back(name);
             }});
    }
};

}  // namespace

TEST_CASE("an index finds what is near, and reads again only what is new or has changed") {
    Case made;
    paint(made.folder / "red.png", {255, 0, 0});
    paint(made.folder / "deep/green.png", {0, 255, 0});
    paint(made.folder / "blue.png", {0, 0, 255});
    paint(made.folder / ".hidden/red.png", {255, 0, 0});
    made.folder.write("notes.txt", "no picture");
    made.folder.write("broken.jpg", "no picture either");
    PictureIndex first = made.open();
    IndexUpdate report = made.update(first);
    CHECK(report.added == 3);
    CHECK(report.unreadable == 1);
    CHECK(made.counted.skipped == std::vector<std::string>{"broken.jpg"});
    CHECK(names(first.nearest(query(1, -1, -0.5f), 2)) ==
          std::vector<std::string>{"red.png", "blue.png"});
    CHECK(first.nearest(query(-7, 7, -7), 1)[0].cosine == doctest::Approx(1));
    CHECK(names(first.nearest(query(-1, 1, -1), 9)).front() == "deep/green.png");

    // Nothing new: nothing is read, nothing is said of the broken file.
    const auto written = fs::last_write_time(made.file);
    PictureIndex again = made.open();
    CHECK(again.size() == 3);
    report = made.update(again);
    CHECK(report.kept == 3);
    CHECK(report.added == 0);
    CHECK(report.unreadable == 1);
    CHECK(made.counted.skipped.size() == 1);
    CHECK(fs::last_write_time(made.file) == written);

    // One changed, one gone, one new, one repaired.
    paint(made.folder / "blue.png", {255, 255, 0});
    fs::last_write_time(made.folder / "blue.png", written + std::chrono::seconds(5));
    fs::remove(made.folder / "red.png");
    paint(made.folder / "white.png", {255, 255, 255});
    paint(made.folder / "broken.jpg", {255, 0, 255});
    PictureIndex later = made.open();
    report = made.update(later);
    CHECK(report.kept == 1);
    CHECK(report.added == 3);
    CHECK(report.dropped == 1);
    CHECK(report.unreadable == 0);
    CHECK(names(later.nearest(query(1, 1, -1), 1)) == std::vector<std::string>{"blue.png"});
    CHECK(names(made.open().nearest(query(1, 1, 1), 1)) == std::vector<std::string>{"white.png"});
    CHECK(made.counted.notices.empty());
}

TEST_CASE("an index of another model, of other settings or damaged is made anew, with a notice") {
    Case made;
    paint(made.folder / "red.png", {255, 0, 0});
    paint(made.folder / "blue.png", {0, 0, 255});
    PictureIndex first = made.open();
    made.update(first);
    CHECK(made.open().size() == 2);
    CHECK(made.open(1.000001f).size() == 2);  // rounded otherwise
    CHECK(made.counted.notices.empty());
    CHECK(made.open(1.5f).size() == 0);
    CHECK(made.open(1, "other").size() == 0);
    CHECK(made.counted.notices.size() == 2);
    const std::string good = made.folder.read(".dalle2-index/index");
    for (std::size_t length = 0; length < good.size(); length += 7) {
        made.folder.write(".dalle2-index/index", good.substr(0, length));
        CHECK(made.open().size() == 0);
    }
    CHECK(made.counted.notices.size() == 2 + (good.size() + 6) / 7);
    for (std::size_t i = 0; i < good.size(); i += 3) {
        std::string changed = good;
        changed[i] = static_cast<char>(changed[i] ^ 0x55);
        made.folder.write(".dalle2-index/index", changed);
        CHECK(made.open().size() <= 2);  // whatever it holds, no other exception
    }
    made.folder.write(".dalle2-index/index", "damaged");
    PictureIndex anew = made.open();
    CHECK(made.update(anew).added == 2);
    CHECK(made.open().size() == 2);
}

TEST_CASE("an index that is stopped keeps what it has read") {
    Case made;
    for (int i = 0; i < 6; ++i)
        paint(made.folder / (std::to_string(i) + ".png"), {static_cast<std::uint8_t>(i), 9, 9});
    std::stop_source stop;
    PictureIndex index = made.open();
    CHECK_THROWS_AS(index.update(made.folder.path(), {.batch = 2,
                                                      .progress =
                                                          [&](std::size_t done, std::size_t total) {
                                                              CHECK(total == 6);
                                                              if (done == 4) stop.request_stop();
                                                          },
                                                      .stop = stop.get_token()}),
                    Cancelled);
    PictureIndex later = made.open();
    CHECK(later.size() == 4);
    CHECK(made.update(later).added == 2);
}

TEST_CASE("a folder that is not there, and one without pictures") {
    Case made;
    PictureIndex index = made.open();
    CHECK_THROWS_AS(index.update(made.folder / "none"), IoError);
    CHECK(made.update(index).added == 0);
    CHECK(index.nearest(query(1, 0, 0), 3).empty());
    CHECK(made.open().size() == 0);
    CHECK(made.counted.notices.empty());
}
