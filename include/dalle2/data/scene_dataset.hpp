// Emoji scenes as files: a folder that trainers, and other programs, can read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <system_error>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/data/scene_renderer.hpp>
#include <dalle2/data/scene_stream.hpp>
#include <dalle2/io/atomic_file.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/io/picture.hpp>

namespace dalle2 {

struct SceneDatasetOptions {
    std::uint64_t count = 1000;
    std::uint64_t seed = 0;
    std::uint64_t first = 0;  // the number in the stream of the first scene
    int size = 128;           // 128, 64, 32 or 16
    SceneMix mix = {};
    // Told after each scene how many are written; may throw Cancelled.
    std::function<void(std::uint64_t)> on_progress = {};
};

inline Picture scene_picture(const SceneRenderer& renderer, const SceneDescription& scene,
                             int size) {
    return {size, size, renderer.render_rgb8(scene, size)};
}

// Writes scene-0000000.png, scene-0000000.txt, … and, last and atomically, metadata.jsonl with each
// scene's file name, caption and parts. Creates the folder. Throws IoError when it cannot be
// written, ConfigError when it holds a metadata.jsonl already or the options are wrong.
inline void write_scene_dataset(const std::filesystem::path& folder, const SceneRenderer& renderer,
                                const SceneDatasetOptions& options = {}) {
    if (options.count < 1)
        throw ConfigError("a dataset of no scenes; expected a count of 1 or more");
    const SceneStream stream(options.seed, options.mix);
    scene_picture(renderer, stream.scene(options.first), options.size);  // refuses a wrong size
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error)
        throw IoError("cannot create the folder " + folder.string() + ": " + error.message());
    if (std::filesystem::exists(folder / "metadata.jsonl", error))
        throw ConfigError(folder.string() +
                          " holds a dataset already (metadata.jsonl); choose an empty folder");
    const auto write = [](const std::filesystem::path& path, const std::string& bytes) {
        std::ofstream file(path, std::ios::binary);
        file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        file.close();
        if (!file) throw IoError("cannot write " + path.string() + "; is the disk full?");
    };
    AtomicFile metadata(folder / "metadata.jsonl");
    for (std::uint64_t i = 0; i < options.count; ++i) {
        const std::uint64_t index = options.first + i;
        const SceneDescription scene = stream.scene(index);
        const std::string text = stream.caption(index);
        char name[40];
        std::snprintf(name, sizeof name, "scene-%07llu", static_cast<unsigned long long>(index));
        write(folder / (std::string(name) + ".png"),
              encode_png(scene_picture(renderer, scene, options.size)));
        write(folder / (std::string(name) + ".txt"), text + "\n");

        constexpr const char* layouts[] = {"single", "left_right", "above_below"};
        std::vector<std::string> objects;
        for (int k = 0; k < scene.object_count(); ++k)
            objects.push_back(
                object_words(scene.objects[static_cast<std::size_t>(k)], stream.nouns()));
        OrderedJson line;
        put(line, "file_name", std::string(name) + ".png");
        put(line, "text", text);
        put(line, "layout", layouts[static_cast<int>(scene.layout)]);
        put(line, "background", scene_backgrounds[static_cast<std::size_t>(scene.background)].name);
        put(line, "objects", objects);
        metadata.write(line.dump() + "\n");
        if (options.on_progress) options.on_progress(i + 1);
    }
    metadata.commit();
}

}  // namespace dalle2
