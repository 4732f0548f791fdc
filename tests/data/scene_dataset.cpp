#include <dalle2/data/emoji_font.hpp>
#include <dalle2/data/picture_folder.hpp>
#include <dalle2/data/scene_dataset.hpp>

#include <doctest/doctest.h>

#include <fstream>

#include "../io/temporary_folder.hpp"

using namespace dalle2;

TEST_CASE("a written dataset reads back as the stream that it was written from") {
    if (!std::ifstream(default_emoji_font())) return;
    const SceneRenderer renderer(load_sprites(emoji_nouns()));
    const TemporaryFolder folder;
    std::uint64_t told = 0;
    write_scene_dataset(
        folder / "new/set", renderer,
        {.count = 12, .seed = 5, .first = 1000, .size = 64, .on_progress = [&](auto n) {
             told = n;
         }});
    CHECK(told == 12);
    const PictureFolder read(folder / "new/set", {.shuffled = false});
    REQUIRE(read.size() == 12);
    const SceneStream stream(5);
    std::vector<float> from_file(32 * 32 * 3), from_stream(32 * 32 * 3);
    for (std::uint64_t i = 0; i < 12; ++i) {
        CHECK(read.sample(i, 32, from_file.data()) == stream.caption(1000 + i));
        CHECK(read.sample(i, 32, nullptr) == stream.caption(1000 + i));
        renderer.render(stream.scene(1000 + i), 32, from_stream.data());
        float worst = 0;
        for (std::size_t k = 0; k < from_file.size(); ++k)
            worst = std::max(worst, std::abs(from_file[k] - from_stream[k]));
        CHECK(worst < 1.01f / 255);  // the file's levels are rounded
    }
    CHECK(folder.read("new/set/scene-0001003.txt") == SceneStream(5).caption(1003) + "\n");
    CHECK_THROWS_WITH_AS(write_scene_dataset(folder / "new/set", renderer, {.count = 1}),
                         doctest::Contains("choose an empty folder"), ConfigError);
    CHECK_THROWS_AS(write_scene_dataset(folder / "b", renderer, {.count = 0}), ConfigError);
    CHECK_THROWS_AS(write_scene_dataset(folder / "b", renderer, {.size = 100}), ConfigError);
    folder.write("file", "");
    CHECK_THROWS_AS(write_scene_dataset(folder / "file/c", renderer, {.count = 1}), IoError);
    CHECK_FALSE(std::filesystem::exists(folder / "b"));
}
