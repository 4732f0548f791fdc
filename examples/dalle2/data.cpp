// dalle2 data: the emoji scenes that the shipped model learned from, as files to look at and as a
// folder to train from.
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/data/emoji_font.hpp>
#include <dalle2/data/emoji_scenes.hpp>
#include <dalle2/data/scene_dataset.hpp>
#include <dalle2/io/contact_sheet.hpp>
#include <dalle2/io/picture.hpp>

#include "commands.hpp"
#include "terminal.hpp"

namespace tool {

namespace {

struct SceneOptions {
    std::uint64_t seed = 0, first = 0;
    int size = 128;
    double pairs = 0.5, colored = 0.5;
    std::string split = "train";
    std::string font = dalle2::default_emoji_font();
};

void add_scene_options(CLI::App& command, SceneOptions& options) {
    command.add_option("--seed", options.seed, "Which endless stream of scenes")
        ->check(whole(0))
        ->capture_default_str();
    command.add_option("--first", options.first, "Number of the first scene in the stream")
        ->check(whole(0))
        ->capture_default_str();
    command.add_option("--size", options.size, "Pixels on each side: 16, 32, 64 or 128")
        ->check(CLI::IsMember({16, 32, 64, 128}).description(""))
        ->capture_default_str();
    command
        .add_option("--split", options.split,
                    "train: never a held-out pair of colour and noun; held-out: nothing else")
        ->check(CLI::IsMember({"train", "held-out"}).description(""))
        ->capture_default_str();
    command.add_option("--pairs", options.pairs, "Share of scenes with two objects")
        ->check(between(0, 1))
        ->capture_default_str();
    command.add_option("--colored", options.colored, "Share of objects that are tinted")
        ->check(between(0, 1))
        ->capture_default_str();
    command.add_option("--font", options.font, "Noto Color Emoji, as bitmaps")
        ->capture_default_str();
}

dalle2::SceneMix mix_of(const SceneOptions& options) {
    return {.split =
                options.split == "train" ? dalle2::SceneSplit::train : dalle2::SceneSplit::held_out,
            .pairs = options.pairs,
            .colored = options.colored};
}

dalle2::SceneRenderer renderer_of(const SceneOptions& options) {
    return dalle2::SceneRenderer(dalle2::load_sprites(dalle2::emoji_nouns(), options.font));
}

void write_scenes(const SceneOptions& options, const std::string& output, std::uint64_t count,
                  const std::stop_token& stop) {
    namespace fs = std::filesystem;
    std::error_code error;
    if (fs::exists(output, error) && (!fs::is_directory(output, error) || !fs::is_empty(output)))
        throw dalle2::IoError("cannot write scenes to " + output +
                              ": it is not an empty folder; give the name of a new one");
    const dalle2::SceneRenderer renderer = renderer_of(options);
    ProgressBar bar;
    dalle2::write_scene_dataset(output, renderer,
                                {.count = count,
                                 .seed = options.seed,
                                 .first = options.first,
                                 .size = options.size,
                                 .mix = mix_of(options),
                                 .on_progress = [&](std::uint64_t done) {
                                     bar.update("scenes", static_cast<std::int64_t>(done),
                                                static_cast<std::int64_t>(count));
                                     if (stop.stop_requested()) throw dalle2::Cancelled();
                                 }});
    bar.finish();
    std::cout << output << ": " << count << " pictures with captions\n";
}

void write_sheet(const SceneOptions& options, const std::string& output, int columns, int rows) {
    check_writable(output);
    const dalle2::SceneRenderer renderer = renderer_of(options);
    const dalle2::SceneStream stream(options.seed, mix_of(options));
    std::vector<dalle2::Picture> pictures;
    for (int i = 0; i < columns * rows; ++i) {
        const std::uint64_t index = options.first + static_cast<std::uint64_t>(i);
        pictures.push_back(dalle2::scene_picture(renderer, stream.scene(index), options.size));
        std::cout << "row " << i / columns + 1 << ", column " << i % columns + 1 << ": "
                  << stream.caption(index) << "\n";
    }
    dalle2::write_png(
        output, dalle2::contact_sheet(pictures, {.columns = columns, .color = {255, 255, 255}}));
}

void print_words() {
    const std::vector<dalle2::Noun>& nouns = dalle2::emoji_nouns();
    const auto print = [](const std::string& title, const std::vector<std::string>& words) {
        std::cout << title << ":";
        for (std::size_t i = 0; i < words.size(); ++i) std::cout << (i ? ", " : " ") << words[i];
        std::cout << "\n\n";
    };
    std::vector<std::string> list;
    for (const dalle2::Noun& noun : nouns) list.push_back(noun.name);
    print(std::to_string(nouns.size()) + " nouns", list);
    list.clear();
    for (const dalle2::Tint& tint : dalle2::scene_tints) list.emplace_back(tint.name);
    print("colours of objects", list);
    list.clear();
    for (const dalle2::Background& color : dalle2::scene_backgrounds) list.emplace_back(color.name);
    print("colours of backgrounds", list);
    print("relations", {"left of", "right of", "above", "below"});
    list.clear();
    const dalle2::SceneStream stream(0);
    for (const dalle2::SceneObject& object : stream.held_out_objects())
        list.push_back(dalle2::object_words(object, nouns));
    print(std::to_string(list.size()) + " held-out pairs, which training never shows", list);
}

}  // namespace

void add_data(CLI::App& app, const std::stop_token& stop) {
    CLI::App* data = app.add_subcommand("data", "The emoji scenes that the shipped model knows");
    data->require_subcommand(1);

    struct Options {
        SceneOptions scenes;
        std::string output;
        std::uint64_t count = 100;
        int columns = 12, rows = 8;
    };
    {
        const auto options = std::make_shared<Options>();
        CLI::App* scenes =
            data->add_subcommand("scenes", "Write scenes to a folder: pictures and captions");
        scenes
            ->add_option("-o,--output", options->output,
                         "A new folder, for scene-NUMBER.png, scene-NUMBER.txt and metadata.jsonl")
            ->required();
        scenes->add_option("-n,--count", options->count, "How many")
            ->check(whole(1, 100'000'000))
            ->capture_default_str();
        add_scene_options(*scenes, options->scenes);
        scenes->footer("Example: dalle2 data scenes --count 1000 --output scenes");
        scenes->callback([options, stop] {
            write_scenes(options->scenes, options->output, options->count, stop);
        });
    }
    {
        const auto options = std::make_shared<Options>();
        CLI::App* sheet = data->add_subcommand(
            "sheet", "Draw many scenes as one picture, and print their captions");
        sheet->add_option("-o,--output", options->output, "The PNG file")->required();
        sheet->add_option("--columns", options->columns, "Scenes side by side")
            ->check(whole(1, 100))
            ->capture_default_str();
        sheet->add_option("--rows", options->rows, "Scenes one below the other")
            ->check(whole(1, 100))
            ->capture_default_str();
        add_scene_options(*sheet, options->scenes);
        sheet->footer("Example: dalle2 data sheet --size 64 --output scenes.png");
        sheet->callback([options] {
            write_sheet(options->scenes, options->output, options->columns, options->rows);
        });
    }
    data->add_subcommand("words", "Print every noun, colour and relation")->callback(print_words);
}

}  // namespace tool
