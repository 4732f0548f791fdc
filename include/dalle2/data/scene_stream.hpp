// An endless stream of emoji scenes with random access: scene number N is a pure function of the
// options and N, so resuming is a number, and any number of threads reads the same data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/core/random.hpp>
#include <dalle2/data/emoji_nouns.hpp>
#include <dalle2/data/scene.hpp>

namespace dalle2 {

enum class SceneSplit {
    train,     // never a held-out pair of colour and noun
    held_out,  // single objects, each a held-out pair
};

struct SceneMix {
    SceneSplit split = SceneSplit::train;
    double pairs = 0.5;    // the share of scenes with two objects
    double colored = 0.5;  // the share of objects that are tinted
    // Hard groups for contrastive training: each run of `group` scenes (0 or 1: none; at most 32)
    // is, with the given probabilities, of scenes that differ in their nouns alone; of scenes of
    // the same nouns that differ in colour, background and order; or of pairs each in its four
    // arrangements, which nothing else tells apart; otherwise of any scenes. Scenes of a hard
    // group all differ. With a quarter of arrangements CLIP did not begin to tell them apart in 900
    // steps; with these shares it took 300.
    int group = 0;
    double noun_groups = 0.25;
    double attribute_groups = 0.05;
    double arrangement_groups = 0.65;
};

namespace detail {

// The numbers of a counter-based generator one after the other.
class SceneRandom {
public:
    SceneRandom(std::uint64_t seed, std::uint64_t stream) : generator_(seed, stream) {}

    std::uint64_t bits() { return generator_.bits(count_++); }
    double uniform() { return generator_.uniform(count_++); }
    int below(int bound) {
        return static_cast<int>(generator_.below(count_++, static_cast<std::uint32_t>(bound)));
    }

private:
    CounterGenerator generator_;
    std::uint64_t count_ = 0;
};

}  // namespace detail

// Const use from several threads is safe.
class SceneStream {
public:
    // Throws ConfigError when a share is not in [0, 1] or a group is too large.
    explicit SceneStream(std::uint64_t seed, const SceneMix& mix = {},
                         const std::vector<Noun>& nouns = emoji_nouns())
        : seed_(seed), mix_(mix), nouns_(nouns) {
        for (const double share :
             {mix.pairs, mix.colored, mix.noun_groups, mix.attribute_groups, mix.arrangement_groups,
              mix.noun_groups + mix.attribute_groups + mix.arrangement_groups})
            if (!(share >= 0 && share <= 1))
                throw ConfigError("a share of scenes is " + std::to_string(share) +
                                  "; expected 0 to 1");
        if (mix.group < 0 || mix.group > largest_group)
            throw ConfigError("hard groups of " + std::to_string(mix.group) +
                              " scenes; expected 0 to " + std::to_string(largest_group));
        if (noun_count() < 2 * largest_group)
            throw ConfigError("a scene stream over " + std::to_string(nouns_.size()) +
                              " nouns; expected at least " + std::to_string(2 * largest_group));
        held_out_.resize(nouns_.size() * tint_count);
        for (int noun = 0; noun < noun_count(); ++noun) {
            const std::size_t before = held_out_objects_.size();
            for (int color = 0; color < tint_count; ++color)
                if (const SceneObject object{noun, color}; is_held_out(object, nouns_)) {
                    held_out_[place(object)] = true;
                    held_out_objects_.push_back(object);
                }
            // Groups of one noun need enough colours to differ in.
            if (held_out_objects_.size() - before > 4)
                throw ConfigError("the noun \"" + nouns_[static_cast<std::size_t>(noun)].name +
                                  "\" has more than four held-out colours; use another word");
        }
    }

    const std::vector<Noun>& nouns() const { return nouns_; }
    // All pairs of noun and colour that training never shows.
    const std::vector<SceneObject>& held_out_objects() const { return held_out_objects_; }

    SceneDescription scene(std::uint64_t index) const {
        if (mix_.split == SceneSplit::held_out) {
            detail::SceneRandom random(seed_, 2 * index);
            SceneDescription scene;
            scene.objects[0] = held_out_objects_[static_cast<std::size_t>(
                random.below(static_cast<int>(held_out_objects_.size())))];
            scene.background = random.below(background_count);
            return scene;
        }
        if (mix_.group > 1) {
            const auto size = static_cast<std::uint64_t>(mix_.group);
            detail::SceneRandom random(~seed_, index / size);
            const double kind = random.uniform();
            const int member = static_cast<int>(index % size);
            if (kind < mix_.noun_groups) return noun_group(random, member);
            if (kind < mix_.noun_groups + mix_.attribute_groups)
                return attribute_group(random, member);
            if (kind < mix_.noun_groups + mix_.attribute_groups + mix_.arrangement_groups)
                return arrangement_group(random, member);
        }
        detail::SceneRandom random(seed_, 2 * index);
        return any_scene(random);
    }

    // Which of the phrasings scene `index` is captioned with.
    int phrasing(std::uint64_t index) const {
        detail::SceneRandom random(seed_, 2 * index + 1);
        return random.below(phrasing_count(scene(index).layout));
    }

    std::string caption(std::uint64_t index) const {
        return dalle2::caption(scene(index), phrasing(index), nouns_);
    }

private:
    static constexpr int largest_group = 32;

    int noun_count() const { return static_cast<int>(nouns_.size()); }

    static std::size_t place(const SceneObject& object) {
        return static_cast<std::size_t>(object.noun) * tint_count +
               static_cast<std::size_t>(object.color);
    }
    bool allowed(const SceneObject& object) const {
        return object.color < 0 || !held_out_[place(object)];
    }
    int any_color(detail::SceneRandom& random) const {
        return random.uniform() < mix_.colored ? random.below(tint_count) : -1;
    }
    SceneLayout any_layout(detail::SceneRandom& random) const {
        if (random.uniform() >= mix_.pairs) return SceneLayout::single;
        return random.below(2) ? SceneLayout::left_right : SceneLayout::above_below;
    }
    SceneObject any_object(detail::SceneRandom& random) const {
        SceneObject object{0, any_color(random)};
        do object.noun = random.below(noun_count());
        while (!allowed(object));
        return object;
    }

    SceneDescription any_scene(detail::SceneRandom& random) const {
        SceneDescription scene;
        scene.layout = any_layout(random);
        scene.background = random.below(background_count);
        scene.objects[0] = any_object(random);
        if (scene.object_count() == 2) {
            do scene.objects[1] = any_object(random);
            while (scene.objects[1].noun == scene.objects[0].noun);
        }
        return scene;
    }

    // The nouns that may have this colour, shuffled, except one.
    std::vector<int> shuffled_nouns(detail::SceneRandom& random, int color, int except) const {
        std::vector<int> list;
        for (int noun = 0; noun < noun_count(); ++noun)
            if (noun != except && allowed({noun, color})) list.push_back(noun);
        for (std::size_t i = list.size(); i > 1; --i)
            std::swap(list[i - 1],
                      list[static_cast<std::size_t>(random.below(static_cast<int>(i)))]);
        return list;
    }

    // One layout, background and colours; in a pair either one noun or both are new each time.
    SceneDescription noun_group(detail::SceneRandom& random, int member) const {
        SceneDescription scene = any_scene(random);
        const auto turn = static_cast<std::size_t>(member);
        if (scene.object_count() == 1) {
            scene.objects[0].noun = shuffled_nouns(random, scene.objects[0].color, -1)[turn];
            return scene;
        }
        const int what = random.below(3);  // the first noun, the second, both
        const std::size_t changed = what == 1 ? 1 : 0;
        const int kept_noun = what == 2 ? -1 : scene.objects[1 - changed].noun;
        const auto list = shuffled_nouns(random, scene.objects[changed].color, kept_noun);
        scene.objects[changed].noun = list[turn];
        if (what == 2) {
            detail::SceneRandom own(random.bits(), static_cast<std::uint64_t>(member));
            do scene.objects[1].noun = own.below(noun_count());
            while (scene.objects[1].noun == scene.objects[0].noun || !allowed(scene.objects[1]));
        }
        return scene;
    }

    // One noun or pair of nouns; colours (the sprite's own and the seven tints alike), background
    // and, for a pair, order and axis change.
    SceneDescription attribute_group(detail::SceneRandom& random, int member) const {
        const SceneDescription base = any_scene(random);
        std::vector<SceneDescription> scenes;
        while (static_cast<int>(scenes.size()) <= member) {
            SceneDescription scene = base;
            scene.background = random.below(background_count);
            for (int i = 0; i < scene.object_count(); ++i) {
                SceneObject& object = scene.objects[static_cast<std::size_t>(i)];
                do object.color = random.below(tint_count + 1) - 1;
                while (!allowed(object));
            }
            if (scene.object_count() == 2) {
                scene.layout = random.below(2) ? SceneLayout::left_right : SceneLayout::above_below;
                if (random.below(2)) std::swap(scene.objects[0], scene.objects[1]);
            }
            bool seen = false;
            for (const SceneDescription& earlier : scenes) seen = seen || earlier == scene;
            if (!seen) scenes.push_back(scene);
        }
        return scenes.back();
    }

    // On one background, pairs of nouns that occur once in the group, each four times: one left of
    // the other, right of it, above and below it.
    SceneDescription arrangement_group(detail::SceneRandom& random, int member) const {
        SceneDescription scene;
        scene.background = random.below(background_count);
        const auto list = shuffled_nouns(random, -1, -1);
        const int pair = member / 4, arrangement = member % 4;
        detail::SceneRandom own(random.bits(), static_cast<std::uint64_t>(pair));
        for (int i = 0; i < 2; ++i) {
            SceneObject& object = scene.objects[static_cast<std::size_t>(i)];
            object.noun = list[static_cast<std::size_t>(2 * pair + i)];
            do object.color = any_color(own);
            while (!allowed(object));
        }
        scene.layout = arrangement < 2 ? SceneLayout::left_right : SceneLayout::above_below;
        if (arrangement % 2 != 0) std::swap(scene.objects[0], scene.objects[1]);
        return scene;
    }

    std::uint64_t seed_;
    SceneMix mix_;
    std::vector<Noun> nouns_;
    std::vector<bool> held_out_;  // [noun, colour]
    std::vector<SceneObject> held_out_objects_;
};

}  // namespace dalle2
