// The emoji scenes, without the font: what they are (scene.hpp), what they show (emoji_nouns.hpp),
// how they are drawn (scene_renderer.hpp) and in which order they come (scene_stream.hpp).
//
//     dalle2::SceneRenderer renderer(dalle2::load_sprites(dalle2::emoji_nouns()));  //
//     emoji_font.hpp dalle2::SceneStream stream(seed, {.pairs = 0.5, .colored = 0.5});
//     renderer.render(stream.scene(n), 32, pixels);     // [32, 32, 3] in [-1, 1]
//     std::string text = stream.caption(n);             // "a purple wolf on a gray background"
#pragma once

#include <dalle2/data/emoji_nouns.hpp>
#include <dalle2/data/scene.hpp>
#include <dalle2/data/scene_renderer.hpp>
#include <dalle2/data/scene_stream.hpp>
#include <dalle2/data/sprite.hpp>
