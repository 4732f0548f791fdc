// What an emoji scene is: objects, colours, a background, a layout, and how captions say it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/data/sprite.hpp>

namespace dalle2 {

struct Rgb {
    float red = 0, green = 0, blue = 0;  // 0 to 255
};

// A tint maps a sprite's luminance to one hue: its darkest parts to `dark`, its lightest to
// `light`.
struct Tint {
    std::string_view name;
    Rgb dark, light;
};
inline constexpr std::array<Tint, 7> scene_tints{{
    {"red", {80, 0, 8}, {255, 45, 45}},
    {"orange", {120, 45, 0}, {255, 155, 25}},
    {"yellow", {140, 112, 0}, {255, 242, 60}},
    {"green", {0, 55, 12}, {70, 220, 75}},
    {"blue", {8, 16, 100}, {60, 135, 255}},
    {"purple", {50, 5, 95}, {165, 70, 240}},
    {"pink", {175, 60, 125}, {255, 150, 210}},
}};

struct Background {
    std::string_view name;
    Rgb color;
};
inline constexpr std::array<Background, 8> scene_backgrounds{{
    {"gray", {128, 128, 128}},
    {"blue", {90, 150, 230}},
    {"pink", {249, 190, 212}},
    {"green", {110, 190, 110}},
    {"yellow", {250, 226, 124}},
    {"orange", {250, 168, 92}},
    {"black", {20, 20, 24}},
    {"white", {255, 255, 255}},
}};

inline constexpr int tint_count = static_cast<int>(scene_tints.size());
inline constexpr int background_count = static_cast<int>(scene_backgrounds.size());

struct SceneObject {
    int noun = 0;
    int color = -1;  // an index into scene_tints; -1: the sprite's own colours
    friend bool operator==(const SceneObject&, const SceneObject&) = default;
};

enum class SceneLayout {
    single,       // the first object alone
    left_right,   // the first object left of the second
    above_below,  // the first object above the second
};

// Equal descriptions are equal pictures: "A right of B" is described as B left of A.
struct SceneDescription {
    SceneLayout layout = SceneLayout::single;
    std::array<SceneObject, 2> objects{};
    int background = 0;  // an index into scene_backgrounds

    int object_count() const { return layout == SceneLayout::single ? 1 : 2; }
    friend bool operator==(const SceneDescription&, const SceneDescription&) = default;
};

// Whether this colour of this noun is kept out of training, about a tenth of all pairs. It depends
// on the two words alone (FNV-1a, 64 bits, of "purple wolf"), so another list of nouns changes
// none.
inline bool is_held_out(std::string_view color, std::string_view noun) {
    std::uint64_t hash = 14695981039346656037u;
    const auto feed = [&hash](std::string_view text) {
        for (const char letter : text)
            hash = (hash ^ static_cast<unsigned char>(letter)) * 1099511628211u;
    };
    feed(color);
    feed(" ");
    feed(noun);
    return (hash >> 48) % 10 == 0;
}
inline bool is_held_out(const SceneObject& object, const std::vector<Noun>& nouns) {
    return object.color >= 0 &&
           is_held_out(scene_tints[static_cast<std::size_t>(object.color)].name,
                       nouns[static_cast<std::size_t>(object.noun)].name);
}

inline int phrasing_count(SceneLayout layout) { return layout == SceneLayout::single ? 8 : 16; }

namespace detail {

inline std::string with_article(const std::string& words) {
    const bool vowel = std::string_view("aeiou").find(words.front()) != std::string_view::npos;
    // "unicorn" is written with a vowel and spoken with a consonant.
    return (vowel && !words.starts_with("uni") ? "an " : "a ") + words;
}

}  // namespace detail

// The words for one object: "purple wolf".
inline std::string object_words(const SceneObject& object, const std::vector<Noun>& nouns) {
    const std::string& noun = nouns[static_cast<std::size_t>(object.noun)].name;
    if (object.color < 0) return noun;
    return std::string(scene_tints[static_cast<std::size_t>(object.color)].name) + " " + noun;
}

// One of phrasing_count(layout) captions of a scene. The second eight of a pair name the second
// object first: "an elephant left of an apple" becomes "an apple right of an elephant".
inline std::string caption(const SceneDescription& scene, int phrasing,
                           const std::vector<Noun>& nouns) {
    if (phrasing < 0 || phrasing >= phrasing_count(scene.layout))
        throw ConfigError("phrasing " + std::to_string(phrasing) + " of a scene; expected 0 to " +
                          std::to_string(phrasing_count(scene.layout) - 1));
    enum class Form { indefinite, definite, bare };
    const auto noun_phrase = [&](const SceneObject& object, Form form) {
        const std::string words = object_words(object, nouns);
        if (form == Form::definite) return "the " + words;
        const bool article = nouns[static_cast<std::size_t>(object.noun)].takes_article;
        return form == Form::bare || !article ? words : detail::with_article(words);
    };
    const bool mirrored = phrasing >= 8;
    const auto things = [&](Form form, bool to_the) {
        const SceneObject &first = scene.objects[0], &second = scene.objects[1];
        if (scene.layout == SceneLayout::single) return noun_phrase(first, form);
        std::string relation;
        if (scene.layout == SceneLayout::left_right)
            relation = std::string(to_the ? "to the " : "") + (mirrored ? "right of" : "left of");
        else
            relation = mirrored ? "below" : "above";
        return noun_phrase(mirrored ? second : first, form) + " " + relation + " " +
               noun_phrase(mirrored ? first : second, form);
    };
    const std::string color(scene_backgrounds[static_cast<std::size_t>(scene.background)].name);
    const std::string background = color + " background";
    switch (phrasing % 8) {
        case 0: return things(Form::indefinite, false) + " on " + detail::with_article(background);
        case 1: return things(Form::bare, false) + ", " + background;
        case 2:
            return "a picture of " + things(Form::indefinite, false) + " on " +
                   detail::with_article(background);
        case 3:
            return things(Form::indefinite, true) + " in front of " +
                   detail::with_article(background);
        case 4:
            return detail::with_article(background) + " with " + things(Form::indefinite, false);
        case 5: return things(Form::bare, false) + " on " + color;
        case 6:
            return "an emoji of " + things(Form::indefinite, true) + " on " +
                   detail::with_article(background);
        default: return things(Form::definite, false) + " on the " + background;
    }
}

// Every word that a caption may contain, sorted. A caption's only other character is the comma.
inline std::vector<std::string> caption_words(const std::vector<Noun>& nouns) {
    std::vector<std::string> words{"a",     "above", "an",   "background", "below", "emoji",
                                   "front", "in",    "left", "of",         "on",    "picture",
                                   "right", "the",   "to",   "with"};
    for (const Tint& tint : scene_tints) words.emplace_back(tint.name);
    for (const Background& background : scene_backgrounds) words.emplace_back(background.name);
    for (const Noun& noun : nouns)
        for (std::size_t begin = 0; begin < noun.name.size();) {
            const std::size_t end = std::min(noun.name.find(' ', begin), noun.name.size());
            words.push_back(noun.name.substr(begin, end - begin));
            begin = end + 1;
        }
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    return words;
}

}  // namespace dalle2
