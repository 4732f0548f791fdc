#include <dalle2/data/emoji_font.hpp>
#include <dalle2/data/emoji_scenes.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

using namespace dalle2;

namespace {

bool font_is_there() { return std::ifstream(default_emoji_font()).good(); }

std::string utf8(std::uint32_t c) {
    std::string text;
    if (c < 0x800) {
        text += static_cast<char>(0xC0 | (c >> 6));
    } else if (c < 0x10000) {
        text += static_cast<char>(0xE0 | (c >> 12));
        text += static_cast<char>(0x80 | ((c >> 6) & 63));
    } else {
        text += static_cast<char>(0xF0 | (c >> 18));
        text += static_cast<char>(0x80 | ((c >> 12) & 63));
        text += static_cast<char>(0x80 | ((c >> 6) & 63));
    }
    text += static_cast<char>(0x80 | (c & 63));
    return text;
}

// A scaled-down disc and a square, so that the renderer is tested without the font too.
std::vector<Sprite> plain_sprites() {
    std::vector<Sprite> sprites;
    for (const int kind : {0, 1}) {
        Sprite sprite{100, 90, std::vector<std::uint8_t>(100 * 90 * 4)};
        for (int y = 0; y < 90; ++y)
            for (int x = 0; x < 100; ++x) {
                const bool in = kind ? (x > 9 && x < 90 && y > 4) : std::hypot(x - 50, y - 45) < 40;
                const std::uint8_t pixel[4] = {static_cast<std::uint8_t>(2 * x), 100,
                                               static_cast<std::uint8_t>(255 - y),
                                               static_cast<std::uint8_t>(in ? 255 : 0)};
                std::copy_n(pixel, 4, sprite.rgba.begin() + (y * 100 + x) * 4);
            }
        sprites.push_back(sprite);
    }
    return sprites;
}

}  // namespace

TEST_CASE("captions say the scene in every phrasing") {
    const auto& nouns = emoji_nouns();
    SceneDescription wolf;
    wolf.objects[0] = {find_noun("wolf"), 5};
    CHECK(caption(wolf, 0, nouns) == "a purple wolf on a gray background");
    CHECK(caption(wolf, 1, nouns) == "purple wolf, gray background");
    CHECK(caption(wolf, 2, nouns) == "a picture of a purple wolf on a gray background");
    wolf.objects[0].color = 1;
    wolf.background = 5;
    CHECK(caption(wolf, 4, nouns) == "an orange background with an orange wolf");

    SceneDescription pair{
        SceneLayout::left_right, {{{find_noun("elephant"), -1}, {find_noun("apple"), 0}}}, 1};
    CHECK(caption(pair, 0, nouns) == "an elephant left of a red apple on a blue background");
    CHECK(caption(pair, 8, nouns) == "a red apple right of an elephant on a blue background");
    CHECK(caption(pair, 11, nouns) ==
          "a red apple to the right of an elephant in front of a blue background");
    pair.layout = SceneLayout::above_below;
    CHECK(caption(pair, 1, nouns) == "elephant above red apple, blue background");
    CHECK(caption(pair, 15, nouns) == "the red apple below the elephant on the blue background");
    pair.objects = {{{find_noun("cherries"), -1}, {find_noun("unicorn"), -1}}};
    CHECK(caption(pair, 0, nouns) == "cherries above a unicorn on a blue background");
    CHECK_THROWS_AS(caption(pair, 16, nouns), ConfigError);
    CHECK_THROWS_AS(caption(wolf, 8, nouns), ConfigError);
}

TEST_CASE("every caption is made of the listed words") {
    const SceneStream stream(3);
    const auto list = caption_words(stream.nouns());
    const std::set<std::string> words(list.begin(), list.end());
    CHECK(words.size() == list.size());
    std::set<std::string> used;
    for (std::uint64_t i = 0; i < 20000; ++i) {
        std::string text = stream.caption(i);
        for (char& letter : text)
            if (letter == ',') letter = ' ';
        std::istringstream in(text);
        for (std::string word; in >> word;) used.insert(word);
    }
    CHECK(used == words);
}

TEST_CASE("nouns are distinct, and named as CLDR names them or as the table says") {
    const auto& nouns = emoji_nouns();
    CHECK(nouns.size() >= 180);
    std::set<std::string> names;
    std::set<std::uint32_t> points;
    for (const Noun& noun : nouns) {
        names.insert(noun.name);
        points.insert(noun.code_point);
    }
    CHECK(names.size() == nouns.size());
    CHECK(points.size() == nouns.size());
    if (!std::ifstream(default_cldr_annotations())) return;
    const auto cldr = read_cldr_names();
    for (const Noun& noun : nouns) {
        CAPTURE(noun.name);
        const auto found = cldr.find(utf8(noun.code_point));
        REQUIRE(found != cldr.end());
        CHECK(found->second == (noun.unicode_name.empty() ? noun.name : noun.unicode_name));
    }
}

#ifdef DALLE2_SOURCE_DIR
TEST_CASE("the specification lists every noun, colour, background and phrasing") {
    std::ifstream file(DALLE2_SOURCE_DIR "/examples/emoji-scenes.md");
    REQUIRE(file);
    std::string text((std::istreambuf_iterator<char>(file)), {});
    for (char& letter : text)
        if (letter == '\n') letter = ' ';
    const auto contains = [&](const std::string& words) {
        CAPTURE(words);
        CHECK(text.find(words) != std::string::npos);
    };
    const auto levels = [](const Rgb& rgb) {
        const auto whole = [](float x) { return std::to_string(static_cast<int>(x)); };
        return whole(rgb.red) + ", " + whole(rgb.green) + ", " + whole(rgb.blue);
    };
    for (const Noun& noun : emoji_nouns())
        contains(noun.unicode_name.empty() ? noun.name
                                           : noun.name + " (" + noun.unicode_name + ")");
    for (const Tint& tint : scene_tints)
        contains("| " + std::string(tint.name) + " | " + levels(tint.dark) + " | " +
                 levels(tint.light) + " |");
    for (const Background& background : scene_backgrounds)
        contains("| " + std::string(background.name) + " | " + levels(background.color) + " |");
    const SceneStream stream(0);
    SceneDescription wolf;
    wolf.objects[0] = {find_noun("wolf"), 5};
    for (int phrasing = 0; phrasing < 8; ++phrasing)
        contains("| " + std::to_string(phrasing) + " | " + caption(wolf, phrasing, emoji_nouns()) +
                 " |");
    contains(std::to_string(emoji_nouns().size()) + " nouns");
    contains(std::to_string(stream.held_out_objects().size()) + " of 1,344 pairs");
}
#endif

TEST_CASE("an absent font or name file is an error that names the Debian package") {
    CHECK_THROWS_WITH_AS(EmojiFont("/nowhere/font.ttf"),
                         doctest::Contains("fonts-noto-color-emoji"), IoError);
    CHECK_THROWS_WITH_AS(read_cldr_names("/nowhere/en.xml"), doctest::Contains("unicode-cldr-core"),
                         IoError);
    CHECK_THROWS_AS(EmojiFont("/dev/null"), FormatError);
}

TEST_CASE(
    "about a tenth of the colours of nouns are held out, and no noun or colour is left bare") {
    const SceneStream stream(1);
    const auto& held = stream.held_out_objects();
    const double share =
        static_cast<double>(held.size()) / static_cast<double>(emoji_nouns().size() * tint_count);
    CHECK(share > 0.08);
    CHECK(share < 0.12);
    std::map<int, int> by_noun, by_color;
    for (const SceneObject& object : held) {
        ++by_noun[object.noun];
        ++by_color[object.color];
    }
    for (const auto& [noun, count] : by_noun) CHECK(count <= 4);
    for (const auto& [color, count] : by_color)
        CHECK(count < static_cast<int>(emoji_nouns().size()) / 5);
    // The rule is fixed for ever: a model in use was trained under it.
    CHECK(held.size() == 131);
    CHECK(object_words(held.front(), emoji_nouns()) == "blue monkey");
    CHECK_FALSE(is_held_out("red", "apple"));
}

TEST_CASE("the training stream never shows a held-out pair and shows everything else") {
    for (const int group : {0, 16}) {
        const SceneStream stream(7, {.pairs = 0.5, .colored = 0.6, .group = group});
        std::set<std::pair<int, int>> seen;
        int pairs = 0;
        for (std::uint64_t i = 0; i < 40000; ++i) {
            const SceneDescription scene = stream.scene(i);
            pairs += scene.object_count() - 1;
            for (int k = 0; k < scene.object_count(); ++k) {
                const SceneObject& object = scene.objects[static_cast<std::size_t>(k)];
                REQUIRE_FALSE(is_held_out(object, stream.nouns()));
                seen.insert({object.noun, object.color});
            }
            if (scene.object_count() == 2) REQUIRE(scene.objects[0].noun != scene.objects[1].noun);
        }
        CHECK(seen.size() + stream.held_out_objects().size() ==
              stream.nouns().size() * (tint_count + 1));
        const double arrangements = group > 0 ? SceneMix{}.arrangement_groups : 0;
        const double expected = 40000 * (arrangements + (1 - arrangements) * 0.5);
        CHECK(pairs == doctest::Approx(expected).epsilon(0.06));
    }
}

TEST_CASE("the held-out stream shows held-out single objects alone") {
    const SceneStream stream(7, {.split = SceneSplit::held_out});
    std::set<std::pair<int, int>> seen;
    for (std::uint64_t i = 0; i < 5000; ++i) {
        const SceneDescription scene = stream.scene(i);
        REQUIRE(scene.layout == SceneLayout::single);
        REQUIRE(is_held_out(scene.objects[0], stream.nouns()));
        seen.insert({scene.objects[0].noun, scene.objects[0].color});
    }
    CHECK(seen.size() == stream.held_out_objects().size());
}

TEST_CASE("a scene depends on seed and index alone") {
    const SceneMix mix{.group = 16};
    const SceneStream one(5, mix), same(5, mix), other(6, mix);
    int equal = 0;
    for (std::uint64_t i = 1000; i-- > 0;) {
        CHECK(one.scene(i) == same.scene(i));
        CHECK(one.caption(i) == same.caption(i));
        equal += one.scene(i) == other.scene(i);
    }
    CHECK(equal < 5);
    // Fixed for ever: a training run that resumes under a newer version reads the same data.
    CHECK(SceneStream(1).caption(0) == "pink bell above green rainbow, green background");
    CHECK(SceneStream(1, {.group = 16}).caption(1000000000000) ==
          "an orange trumpet on a green background");
}

TEST_CASE("scenes of a hard group differ, and only in what the group is about") {
    const auto stream = [](double noun, double attribute, double arrangement) {
        return SceneStream(9, {.group = 16,
                               .noun_groups = noun,
                               .attribute_groups = attribute,
                               .arrangement_groups = arrangement});
    };
    const SceneStream nouns = stream(1, 0, 0), attributes = stream(0, 1, 0),
                      arrangements = stream(0, 0, 1);
    for (std::uint64_t group = 0; group < 200; ++group) {
        for (std::uint64_t i = 0; i < 16; ++i) {
            const SceneDescription a = nouns.scene(group * 16), b = nouns.scene(group * 16 + i);
            CHECK(a.layout == b.layout);
            CHECK(a.background == b.background);
            for (std::size_t k = 0; k < 2; ++k) CHECK(a.objects[k].color == b.objects[k].color);
            const SceneDescription c = attributes.scene(group * 16),
                                   d = attributes.scene(group * 16 + i);
            CHECK(c.object_count() == d.object_count());
            const auto names = [](const SceneDescription& s) {
                return s.layout == SceneLayout::single
                           ? std::set<int>{s.objects[0].noun}
                           : std::set<int>{s.objects[0].noun, s.objects[1].noun};
            };
            CHECK(names(c) == names(d));
            const SceneDescription e = arrangements.scene(group * 16 + i / 4 * 4),
                                   f = arrangements.scene(group * 16 + i);
            CHECK(f.object_count() == 2);
            CHECK(e.background == f.background);
            CHECK((e.objects == f.objects ||
                   (e.objects[0] == f.objects[1] && e.objects[1] == f.objects[0])));
            for (std::uint64_t j = 0; j < i; ++j) {
                CHECK_FALSE(b == nouns.scene(group * 16 + j));
                CHECK_FALSE(d == attributes.scene(group * 16 + j));
                CHECK_FALSE(f == arrangements.scene(group * 16 + j));
                CHECK((names(f) == names(arrangements.scene(group * 16 + j))) == (i / 4 == j / 4));
            }
        }
    }
    CHECK_THROWS_AS(SceneStream(1, {.group = 1000}), ConfigError);
    CHECK_THROWS_AS(SceneStream(1, {.group = 16, .arrangement_groups = 0.8}), ConfigError);
    CHECK_THROWS_AS(SceneStream(1, {.pairs = 1.5}), ConfigError);
    CHECK_THROWS_AS(SceneStream(1, {.colored = std::nan("")}), ConfigError);
}

TEST_CASE("a smaller picture is the box mean of the larger one") {
    const SceneRenderer renderer(plain_sprites());
    for (const SceneLayout layout :
         {SceneLayout::single, SceneLayout::left_right, SceneLayout::above_below}) {
        const SceneDescription scene{layout, {{{0, 2}, {1, -1}}}, 3};
        std::vector<float> full(128 * 128 * 3);
        renderer.render(scene, 128, full.data());
        for (const int size : {64, 32, 16}) {
            std::vector<float> small(static_cast<std::size_t>(size * size * 3));
            renderer.render(scene, size, small.data());
            const int k = 128 / size;
            double worst = 0;
            for (int y = 0; y < size; ++y)
                for (int x = 0; x < size; ++x)
                    for (int c = 0; c < 3; ++c) {
                        double sum = 0;
                        for (int i = 0; i < k; ++i)
                            for (int j = 0; j < k; ++j)
                                sum += full[static_cast<std::size_t>(
                                    ((y * k + i) * 128 + x * k + j) * 3 + c)];
                        worst = std::max(
                            worst,
                            std::abs(sum / (k * k) -
                                     small[static_cast<std::size_t>((y * size + x) * 3 + c)]));
                    }
            CHECK(worst < 1e-5);
        }
    }
    CHECK_THROWS_AS(renderer.render({}, 100, nullptr), ConfigError);
}

TEST_CASE("objects fill their places and leave the rest to the background") {
    const SceneRenderer renderer(plain_sprites());
    const auto box = [&](const SceneDescription& scene) {
        const auto pixels = renderer.render_rgb8(scene, 128);
        int left = 128, right = -1, top = 128, bottom = -1;
        for (int y = 0; y < 128; ++y)
            for (int x = 0; x < 128; ++x)
                if (pixels[static_cast<std::size_t>((y * 128 + x) * 3)] != 255) {
                    left = std::min(left, x), right = std::max(right, x);
                    top = std::min(top, y), bottom = std::max(bottom, y);
                }
        return std::array<int, 4>{left, top, right, bottom};
    };
    // The square of 80 by 85 pixels: its height fills the place, its width is centred.
    const int square = 1;
    SceneDescription scene{SceneLayout::single, {{{square, 5}, {}}}, 7};
    CHECK(box(scene) == std::array<int, 4>{11, 8, 116, 119});
    scene.layout = SceneLayout::left_right;
    scene.objects[1] = {square, 4};
    CHECK(box(scene) == std::array<int, 4>{5, 36, 122, 91});
    scene.layout = SceneLayout::above_below;
    CHECK(box(scene) == std::array<int, 4>{37, 4, 90, 123});
}

TEST_CASE("the font draws every noun, and no two look alike in one tint") {
    if (!font_is_there()) return;
    const SceneRenderer renderer(load_sprites(emoji_nouns()));
    REQUIRE(renderer.noun_count() == static_cast<int>(emoji_nouns().size()));
    std::vector<std::vector<float>> pictures;
    for (int noun = 0; noun < renderer.noun_count(); ++noun) {
        pictures.emplace_back(32 * 32 * 3);
        renderer.render({SceneLayout::single, {{{noun, 4}, {}}}, 7}, 32, pictures.back().data());
    }
    for (std::size_t a = 0; a < pictures.size(); ++a)
        for (std::size_t b = 0; b < a; ++b) {
            double sum = 0;
            for (std::size_t i = 0; i < pictures[a].size(); ++i)
                sum += std::pow(pictures[a][i] - pictures[b][i], 2);
            if (std::sqrt(sum / 3072) < 0.25)
                FAIL_CHECK(emoji_nouns()[a].name, " looks like ", emoji_nouns()[b].name);
        }
}
