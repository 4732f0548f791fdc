// What CLIP's embeddings know: zero-shot accuracy over the captions of every scene of one object.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dalle2/clip/zero_shot.hpp>
#include <dalle2/data/emoji_nouns.hpp>
#include <dalle2/data/scene.hpp>

#include "figures.hpp"
#include "model.hpp"
#include "progress.hpp"

namespace quality {

// The text embeddings of all scenes of one object: every noun, in its own colours and in seven
// tints, on every background. On one background all captions have the same phrasing, and together
// the backgrounds have all eight, so the labels of a question differ in what is asked alone.
class SceneLabels {
public:
    static constexpr int colors = dalle2::tint_count + 1;  // the noun's own come first, as -1

    template <dalle2::Engine E>
    static SceneLabels embed(Model<E>& model) {
        SceneLabels labels;
        const auto& nouns = dalle2::emoji_nouns();
        Progress progress("labels", group_count);
        for (int group = 0; group < group_count; ++group) {
            std::vector<std::string> captions;
            for (const dalle2::SceneDescription& scene : scenes(group))
                captions.push_back(dalle2::caption(
                    scene, scene.background % dalle2::phrasing_count(scene.layout), nouns));
            labels.groups_.push_back(model.encode(captions).text_embedding);
            progress.update(group + 1);
        }
        return labels;
    }

    // Scenes of one background and colour, one for each noun.
    static constexpr int group_count = dalle2::background_count * colors;
    static int group_of(int background, int color) { return background * colors + color + 1; }
    static std::vector<dalle2::SceneDescription> scenes(int group) {
        std::vector<dalle2::SceneDescription> result(dalle2::emoji_nouns().size());
        for (std::size_t noun = 0; noun < result.size(); ++noun) {
            result[noun].objects[0] = {static_cast<int>(noun), group % colors - 1};
            result[noun].background = group / colors;
        }
        return result;
    }

    // Which of all nouns, in the scene's colour on its background, fits `embedding` [1, embedding]
    // best; -1 if the embedding is not a number.
    int best_noun(const dalle2::Array& embedding, const dalle2::SceneDescription& scene) const {
        return static_cast<int>(
            best(embedding, groups_[group(scene.background, scene.objects[0].color)]));
    }

    // Whether, of the seven tints of the scene's noun, its own fits best.
    bool color_is_right(const dalle2::Array& embedding,
                        const dalle2::SceneDescription& scene) const {
        const std::int64_t width = dalle2::shape_of(embedding)[1];
        dalle2::Array labels = dalle2::make_array({dalle2::tint_count, width});
        for (int color = 0; color < dalle2::tint_count; ++color)
            std::copy_n(
                groups_[group(scene.background, color)].data() + scene.objects[0].noun * width,
                width, labels.data() + color * width);
        return best(embedding, labels) == scene.objects[0].color;
    }

private:
    static std::size_t group(int background, int color) {
        return static_cast<std::size_t>(group_of(background, color));
    }
    static std::int64_t best(const dalle2::Array& embedding, const dalle2::Array& labels) {
        return dalle2::best_labels(dalle2::cosine_similarities(embedding, labels)).front();
    }

    std::vector<dalle2::Array> groups_;  // [nouns, embedding] each
};

inline dalle2::Array row_of(const dalle2::Array& rows, std::int64_t index) {
    const std::int64_t width = dalle2::shape_of(rows)[1];
    dalle2::Array row = dalle2::make_array({1, width});
    std::copy_n(rows.data() + index * width, width, row.data());
    return row;
}

// Counts one embedding of a scene of one object; returns the noun that it was taken for.
inline int count_embedding(Shares& shares, const SceneLabels& labels,
                           const dalle2::Array& embedding, const dalle2::SceneDescription& scene) {
    const int noun = labels.best_noun(embedding, scene);
    shares.noun.add(noun == scene.objects[0].noun);
    if (scene.objects[0].color >= 0) shares.color.add(labels.color_is_right(embedding, scene));
    return noun;
}

// Where CLIP's mistakes about nouns are.
class Mistakes {
public:
    void add(const dalle2::SceneDescription& scene, int taken_for) {
        const dalle2::SceneObject& object = scene.objects[0];
        const bool right = taken_for == object.noun;
        by_color_[static_cast<std::size_t>(object.color + 1)].add(right);
        by_background_[static_cast<std::size_t>(scene.background)].add(right);
        if (!right) ++confusions_[{object.noun, taken_for}];
    }

    std::string text() const {
        constexpr std::size_t most = 20;
        std::string text = "CLIP, nouns right by colour:";
        char number[16];
        const auto append = [&](std::string_view name, const Share& share) {
            std::snprintf(number, sizeof number, " %.3f", share.value());
            text += " " + std::string(name) + number;
        };
        append("own", by_color_[0]);
        for (std::size_t i = 0; i + 1 < by_color_.size(); ++i)
            append(dalle2::scene_tints[i].name, by_color_[i + 1]);
        text += "\nby background:";
        for (std::size_t i = 0; i < by_background_.size(); ++i)
            append(dalle2::scene_backgrounds[i].name, by_background_[i]);
        text += "\nmost frequent, of 64 pictures of a noun each:\n";
        std::vector<std::pair<int, std::pair<int, int>>> sorted;
        for (const auto& [nouns, count] : confusions_) sorted.push_back({-count, nouns});
        std::sort(sorted.begin(), sorted.end());
        const auto name = [](int noun) {
            return noun < 0 ? "nothing"
                            : dalle2::emoji_nouns()[static_cast<std::size_t>(noun)].name;
        };
        for (std::size_t i = 0; i < std::min(most, sorted.size()); ++i)
            text += "  " + name(sorted[i].second.first) + " taken for " +
                    name(sorted[i].second.second) + ": " + std::to_string(-sorted[i].first) + "\n";
        return text;
    }

private:
    std::array<Share, SceneLabels::colors> by_color_;
    std::array<Share, dalle2::background_count> by_background_;
    std::map<std::pair<int, int>, int> confusions_;
};

// CLIP on true pictures: all scenes of one object that there are, 64 for each noun.
template <dalle2::Engine E>
Mistakes measure_clip(Model<E>& model, const dalle2::SceneRenderer& renderer,
                      const SceneLabels& labels, Figures& figures) {
    Mistakes mistakes;
    Progress progress("CLIP", SceneLabels::group_count);
    for (int group = 0; group < SceneLabels::group_count; ++group) {
        const auto scenes = SceneLabels::scenes(group);
        const dalle2::Array embeddings = model.embed(renderer, scenes);
        for (std::size_t i = 0; i < scenes.size(); ++i) {
            const Kind kind = dalle2::is_held_out(scenes[i].objects[0], dalle2::emoji_nouns())
                                  ? Kind::single_held_out
                                  : Kind::single_seen;
            mistakes.add(
                scenes[i],
                count_embedding(figures.at(Row::clip, kind), labels,
                                row_of(embeddings, static_cast<std::int64_t>(i)), scenes[i]));
        }
        progress.update(group + 1);
    }
    return mistakes;
}

}  // namespace quality
