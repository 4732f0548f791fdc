// The prompts that quality is measured with.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <dalle2/core/random.hpp>
#include <dalle2/data/scene.hpp>
#include <dalle2/data/scene_stream.hpp>

namespace quality {

// Kinds of prompts, told apart in every figure.
enum class Kind { single_seen, single_held_out, pair };
inline constexpr std::size_t kind_count = 3;
inline constexpr std::array<Kind, kind_count> all_kinds = {Kind::single_seen, Kind::single_held_out,
                                                           Kind::pair};

struct Prompt {
    Kind kind = Kind::single_seen;
    dalle2::SceneDescription scene;
    std::string text;

    // Is a colour asked for? Only such prompts count for the figures of colour.
    bool names_color() const {
        return std::any_of(scene.objects.begin(), scene.objects.begin() + scene.object_count(),
                           [](const dalle2::SceneObject& object) { return object.color >= 0; });
    }
};

// A third of each kind, in the order of the kinds; the first kinds get what does not divide. One
// object of a combination that training shows (half of them coloured), one of a combination that it
// never shows, two objects as training has them. A shorter list of the same seed has, of each kind,
// the first prompts of a longer one.
inline std::vector<Prompt> draw_prompts(int count, std::uint64_t seed) {
    constexpr std::uint64_t purpose = 0x7175616c697479;  // apart from every stream of training
    const dalle2::CounterGenerator seeds(seed, purpose);
    std::vector<Prompt> prompts;
    for (const Kind kind : all_kinds) {
        const auto number = static_cast<int>(kind);
        dalle2::SceneMix mix;
        mix.pairs = kind == Kind::pair ? 1 : 0;
        if (kind == Kind::single_held_out) mix.split = dalle2::SceneSplit::held_out;
        const dalle2::SceneStream stream(seeds.bits(static_cast<std::uint64_t>(number)), mix);
        const int share = count / 3 + (number < count % 3 ? 1 : 0);
        for (int i = 0; i < share; ++i) {
            const auto index = static_cast<std::uint64_t>(i);
            prompts.push_back({kind, stream.scene(index), stream.caption(index)});
        }
    }
    return prompts;
}

}  // namespace quality
