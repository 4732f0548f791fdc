// What classify, embed and search have in common: a CLIP, pictures and texts for it.
#pragma once

#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <dalle2/clip/preprocess.hpp>
#include <dalle2/core/array.hpp>
#include <dalle2/io/picture.hpp>

namespace dalle2 {
class Clip;
}

namespace tool {

struct ClipSettings {
    std::string model, engine, variant;
    int threads = 0;
    bool upright = false;
};
ClipSettings default_clip_settings();
void add_clip_options(CLI::App& command, ClipSettings& settings);

// dalle2::Clip as the commands use it, compiled once. Embeddings are of unit length unless `raw`.
class ClipTool {
public:
    // Loads the model. Throws as dalle2::load_clip.
    ClipTool(const ClipSettings& settings, std::stop_token stop);

    // What decides about embeddings beside the model: the engine, and how files are read.
    std::string settings_text() const;
    double logit_scale() const;
    const std::vector<std::string>& templates() const;
    const dalle2::ClipPreprocessor& preprocessor() const;

    // A picture file as the settings ask for it. Throws IoError, FormatError.
    dalle2::Picture read(const std::filesystem::path& path) const;
    // Texts, pictures or what the preprocessor made of pictures → [rows, width].
    dalle2::Array texts(const std::vector<std::string>& texts, bool raw = false) const;
    dalle2::Array pictures(const std::vector<std::string>& paths, bool raw = false) const;
    dalle2::Array pixels(const std::vector<dalle2::Array>& pixels) const;
    // The vectors of labels, averaged over sentences.
    dalle2::Array labels(const std::vector<std::string>& labels,
                         const std::vector<std::string>& sentences) const;

private:
    void warn_of_truncation(const std::vector<std::string>& texts) const;

    ClipSettings settings_;
    std::stop_token stop_;
    std::shared_ptr<const dalle2::Clip> clip_;
};

// Without the spaces around it.
std::string without_blanks(const std::string& text);

// The lines of a text file that hold more than spaces, without those around them. Throws IoError,
// and FormatError when there are none.
std::vector<std::string> lines_of_file(const std::string& path);

}  // namespace tool
