#include <dalle2/data/picture_folder.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <set>
#include <thread>

#include "../io/temporary_folder.hpp"

using namespace dalle2;

namespace {

void write_one(const TemporaryFolder& folder, const std::string& name, std::uint8_t level) {
    folder.write(name, encode_png(make_picture(6, 4, {level, level, level})));
}

float level_of(std::uint8_t level) { return static_cast<float>(level) / 127.5f - 1; }

}  // namespace

TEST_CASE("pictures take their captions from text files and from metadata.jsonl, sorted by name") {
    const TemporaryFolder folder;
    write_one(folder, "b.png", 20);
    folder.write("b.txt", "\n  a bee \r\nanother bee\n");
    write_one(folder, "a.PNG", 10);
    folder.write("a.txt", "an ant");
    write_one(folder, "more/c.png", 30);
    write_one(folder, "more/d.png", 50);
    folder.write("more/metadata.jsonl",
                 "{\"file_name\": \"c.png\", \"text\": \"a cat\", \"width\": 6}\n\n"
                 "{\"file_name\": \"d.png\", \"text\": null, \"caption\": \"a dog\"}\n"
                 "{\"file_name\": \"gone.png\", \"text\": \"a ghost\"}\n");
    write_one(folder, "silent.png", 40);
    folder.write("notes.md", "not a picture");

    std::map<std::string, std::string> skipped;
    const auto entries = list_pictures(folder.path(), [&](const auto& file, const auto& why) {
        skipped[file.filename().string()] = why;
    });
    REQUIRE(entries.size() == 4);
    CHECK(entries[0].captions == std::vector<std::string>{"an ant"});
    CHECK(entries[1].captions == std::vector<std::string>{"a bee", "another bee"});
    CHECK(entries[2].captions == std::vector<std::string>{"a cat"});
    CHECK(entries[3].captions == std::vector<std::string>{"a dog"});
    CHECK(skipped.size() == 2);
    CHECK(skipped["silent.png"] == "no caption");
    CHECK(skipped.count("gone.png") == 1);
}

TEST_CASE("a folder that cannot be learned from is one clear error") {
    const TemporaryFolder folder;
    CHECK_THROWS_WITH_AS(PictureFolder(folder / "nowhere"), doctest::Contains("no such directory"),
                         IoError);
    CHECK_THROWS_WITH_AS(PictureFolder(folder.path()), doctest::Contains("has no pictures"),
                         FormatError);
    write_one(folder, "a.png", 10);
    CHECK_THROWS_WITH_AS(PictureFolder(folder.path()),
                         doctest::Contains("1 pictures and no captions; expected name.png"),
                         FormatError);
    for (const char* line :
         {"{", "[]", "{\"file_name\": 3, \"text\": \"x\"}", "{\"file_name\": \"a.png\"}",
          "{\"file_name\": \"a.png\", \"text\": [1]}", "{\"file_name\": \"a.png\", \"text\": []}",
          "\xff\xfe"}) {
        folder.write("metadata.jsonl",
                     std::string("{\"file_name\":\"a.png\",\"text\":\"x\"}\n") + line + "\n");
        CHECK_THROWS_WITH_AS(PictureFolder(folder.path()), doctest::Contains("line 2"),
                             FormatError);
    }
}

TEST_CASE("each epoch shows every picture once, in another order, which the seed decides") {
    const TemporaryFolder folder;
    for (int i = 0; i < 13; ++i) {
        const std::string name = "p" + std::to_string(i);
        write_one(folder, name + ".png", static_cast<std::uint8_t>(i * 10));
        folder.write(name + ".txt", name);
    }
    const PictureFolder one(folder.path(), {.seed = 1}), same(folder.path(), {.seed = 1}),
        other(folder.path(), {.seed = 2}), plain(folder.path(), {.shuffled = false});
    std::set<std::vector<std::size_t>> orders;
    for (std::uint64_t epoch = 0; epoch < 4; ++epoch) {
        std::vector<std::size_t> order, other_order;
        for (std::uint64_t i = 0; i < 13; ++i) {
            order.push_back(one.entry_at(epoch * 13 + i));
            other_order.push_back(other.entry_at(epoch * 13 + i));
            CHECK(same.entry_at(epoch * 13 + i) == order.back());
            CHECK(plain.entry_at(epoch * 13 + i) == i);
        }
        CHECK(std::set<std::size_t>(order.begin(), order.end()).size() == 13);
        orders.insert(order);
        orders.insert(other_order);
    }
    CHECK(orders.size() == 8);
    std::vector<float> pixels(2 * 2 * 3);
    for (std::uint64_t i = 0; i < 30; ++i) {
        const std::string caption = one.sample(i, 2, pixels.data());
        const auto& entry = one.entries()[one.entry_at(i)];
        CHECK(caption == entry.captions[0]);
        CHECK(pixels[5] == doctest::Approx(level_of(
                               static_cast<std::uint8_t>(10 * std::stoi(caption.substr(1))))));
    }
}

TEST_CASE("an unreadable picture is counted, reported once, and another takes its place") {
    const TemporaryFolder folder;
    for (const std::string name : {"a", "b", "c", "d"}) {
        write_one(folder, name + ".png", 100);
        folder.write(name + ".txt", name);
    }
    folder.write("b.png", "not a picture");
    folder.write("c.png", encode_png(make_picture(6, 4)).substr(0, 60));
    std::vector<std::string> reported;
    const PictureFolder pictures(folder.path(),
                                 {.seed = 3, .on_skip = [&](const auto& file, const auto&) {
                                      reported.push_back(file.filename().string());
                                  }});
    std::vector<std::string> captions(200);
    const auto visit = [&](std::size_t from) {
        std::vector<float> pixels(3);
        for (std::size_t i = from; i < 200; i += 2)
            captions[i] = pictures.sample(i, 1, pixels.data());
    };
    std::thread other(visit, 1);
    visit(0);
    other.join();
    std::sort(reported.begin(), reported.end());
    CHECK(reported == std::vector<std::string>{"b.png", "c.png"});
    CHECK(pictures.skipped_count() == 2);
    CHECK(std::set<std::string>(captions.begin(), captions.end()) ==
          std::set<std::string>{"a", "d"});
    // The substitutes too depend on seed and position alone.
    const PictureFolder again(folder.path(), {.seed = 3});
    std::vector<float> pixels(3);
    for (std::size_t i = 200; i-- > 0;) CHECK(again.sample(i, 1, pixels.data()) == captions[i]);

    folder.write("a.png", "");
    folder.write("d.png", "");
    const PictureFolder none(folder.path());
    CHECK_THROWS_WITH_AS(none.sample(0, 1, pixels.data()), doctest::Contains("none of the 4"),
                         IoError);
}

TEST_CASE(
    "a picture becomes its middle square: means when shrunk, linear when enlarged, mirrored") {
    Picture wide = make_picture(6, 4);
    for (int y = 0; y < 4; ++y)
        for (int x = 0; x < 6; ++x)
            for (int c = 0; c < 3; ++c)
                wide.pixel(x, y)[c] = static_cast<std::uint8_t>(10 * x + 50 * c);
    std::vector<float> pixels(8 * 8 * 3);
    square_picture(wide, 2, pixels.data());
    CHECK(pixels[0] == doctest::Approx(15 / 127.5 - 1));  // columns 1 and 2
    CHECK(pixels[3] == doctest::Approx(35 / 127.5 - 1));
    CHECK(pixels[4] == doctest::Approx(85 / 127.5 - 1));
    square_picture(wide, 2, pixels.data(), true);
    CHECK(pixels[0] == doctest::Approx(35 / 127.5 - 1));
    square_picture(wide, 3, pixels.data());  // 4/3 source pixels each
    CHECK(pixels[0] == doctest::Approx((10 + 20 / 3.0) / (4 / 3.0) / 127.5 - 1));
    square_picture(wide, 8, pixels.data());
    CHECK(pixels[0] == doctest::Approx(10 / 127.5 - 1));
    CHECK(pixels[3] == doctest::Approx(12.5 / 127.5 - 1));
    square_picture(make_picture(1, 1, {255, 0, 0}), 8, pixels.data());
    CHECK(pixels[0] == doctest::Approx(1));
    CHECK(pixels[8 * 8 * 3 - 1] == doctest::Approx(-1));
}

TEST_CASE("the permutation of any count is one") {
    for (const std::uint64_t count : {1u, 2u, 3u, 4u, 5u, 16u, 17u, 1000u}) {
        std::set<std::uint64_t> seen;
        for (std::uint64_t i = 0; i < count; ++i)
            seen.insert(detail::permuted(i, count, CounterGenerator(count)));
        CHECK(seen.size() == count);
        CHECK(*seen.rbegin() == count - 1);
    }
}
