// Pictures to look at, each beside the scene that was asked for, in a frame that says the verdict.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include <dalle2/data/scene_dataset.hpp>
#include <dalle2/io/contact_sheet.hpp>
#include <dalle2/io/picture.hpp>

#include "figures.hpp"

namespace quality {

// Is everything that the prompt asks for in the picture?
inline bool all_right(const Prompt& prompt, const dalle2::OracleVerdict& verdict) {
    return verdict.nouns && verdict.background && verdict.relation &&
           (verdict.colors || !prompt.names_color());
}

// Green: all right. Orange: the nouns are right, something else is not. Red: a noun is wrong.
inline std::array<std::uint8_t, 3> frame_color(const Prompt& prompt,
                                               const dalle2::OracleVerdict& verdict) {
    if (all_right(prompt, verdict)) return {30, 170, 60};
    if (verdict.nouns) return {245, 150, 20};
    return {220, 30, 30};
}

// The panels side by side, each enlarged to `size` pixels, inside a frame.
inline dalle2::Picture framed(const std::vector<dalle2::Picture>& panels, int size,
                              std::array<std::uint8_t, 3> color) {
    constexpr int frame = 5, gap = 2;
    const int count = static_cast<int>(panels.size());
    dalle2::Picture tile =
        dalle2::make_picture(count * size + (count - 1) * gap + 2 * frame, size + 2 * frame, color);
    for (int i = 0; i < count; ++i) {
        const dalle2::Picture& panel = panels[static_cast<std::size_t>(i)];
        for (int y = 0; y < size; ++y)
            for (int x = 0; x < size; ++x)
                std::copy_n(panel.pixel(x * panel.width / size, y * panel.height / size), 3,
                            tile.pixel(frame + i * (size + gap) + x, frame + y));
    }
    return tile;
}

// The first prompts of each kind, four tiles a row: the true scene, then what each stage made.
class Sheet {
public:
    static constexpr int size = 128, columns = 4, of_each_kind = 24;

    // Is there room for another prompt of this kind?
    bool wants(Kind kind) const { return counts_[static_cast<std::size_t>(kind)] < of_each_kind; }

    void add(const dalle2::SceneRenderer& renderer, const Prompt& prompt,
             const dalle2::OracleVerdict& verdict, std::vector<dalle2::Picture> made) {
        ++counts_[static_cast<std::size_t>(prompt.kind)];
        made.insert(made.begin(), dalle2::scene_picture(renderer, prompt.scene, size));
        tiles_.push_back(framed(made, size, frame_color(prompt, verdict)));
    }

    bool empty() const { return tiles_.empty(); }
    dalle2::Picture picture() const {
        return dalle2::contact_sheet(tiles_,
                                     {.columns = columns, .gap = 8, .color = {255, 255, 255}});
    }

private:
    std::array<int, kind_count> counts_{};
    std::vector<dalle2::Picture> tiles_;
};

}  // namespace quality
