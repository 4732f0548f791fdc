#include "clip.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include <dalle2/clip/picture_file.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/io/file.hpp>
#include <dalle2/pipeline/load_clip.hpp>

#include "commands.hpp"
#include "terminal.hpp"

namespace tool {

ClipSettings default_clip_settings() {
    ClipSettings settings;
    settings.model = shipped_model();
    settings.engine = dalle2::to_string(dalle2::fastest_engine());
    return settings;
}

void add_clip_options(CLI::App& command, ClipSettings& settings) {
    command
        .add_option("--model", settings.model,
                    "The folder of a CLIP as transformers saves it or of an UnCLIP pipeline, or "
                    "its name in the Hugging Face cache, org/name")
        ->capture_default_str();
    add_variant_option(command, settings.variant);
    add_engine_option(command, settings.engine);
    add_threads_option(command, settings.threads);
    command.add_flag("--upright", settings.upright,
                     "Turn photographs as their camera noted; the reference's processor does not");
}

ClipTool::ClipTool(const ClipSettings& settings, std::stop_token stop)
    : settings_(settings),
      stop_(std::move(stop)),
      clip_(std::make_shared<const dalle2::Clip>(dalle2::load_clip<dalle2::AllEngines>(
          settings.model, {.engine = dalle2::engine_kind_from_name(settings.engine, "--engine"),
                           .variant = settings.variant,
                           .warn = warn}))) {}

std::string ClipTool::settings_text() const {
    return settings_.engine + (settings_.upright ? ", upright" : "");
}
double ClipTool::logit_scale() const { return clip_->logit_scale(); }
const std::vector<std::string>& ClipTool::templates() const { return clip_->templates(); }
const dalle2::ClipPreprocessor& ClipTool::preprocessor() const { return clip_->preprocessor(); }

dalle2::Picture ClipTool::read(const std::filesystem::path& path) const {
    return dalle2::read_clip_picture(path, {.upright = settings_.upright});
}

void ClipTool::warn_of_truncation(const std::vector<std::string>& texts) const {
    const dalle2::ClipTokenizer& tokenizer = clip_->tokenizer();
    for (const std::string& text : texts) tool::warn_of_truncation(tokenizer(text), tokenizer);
}

dalle2::Array ClipTool::texts(const std::vector<std::string>& texts, bool raw) const {
    warn_of_truncation(texts);
    ProgressBar bar;
    return clip_->embed_texts(texts, {.unit_length = !raw,
                                      .threads = settings_.threads,
                                      .progress =
                                          [&](std::int64_t done, std::int64_t total) {
                                              if (total > 100) bar.update("texts", done, total);
                                          },
                                      .stop = stop_});
}

dalle2::Array ClipTool::pictures(const std::vector<std::string>& paths, bool raw) const {
    std::vector<dalle2::Array> pixels;
    dalle2::Array all;
    ProgressBar bar;
    // A few at once: of large pictures memory would not hold many.
    constexpr std::size_t batch = 32;
    for (std::size_t first = 0; first < paths.size(); first += batch) {
        pixels.clear();
        for (std::size_t i = first; i < std::min(first + batch, paths.size()); ++i)
            pixels.push_back(clip_->preprocessor()(read(paths[i])));
        const dalle2::Array some = clip_->embed_pixels(
            pixels, {.unit_length = !raw, .threads = settings_.threads, .stop = stop_});
        const std::int64_t width = clip_->projection_dim();
        if (first == 0) all = dalle2::make_array({static_cast<std::int64_t>(paths.size()), width});
        std::copy(some.begin(), some.end(), all.data() + static_cast<std::int64_t>(first) * width);
        if (paths.size() > batch)
            bar.update("pictures", static_cast<std::int64_t>(first + pixels.size()),
                       static_cast<std::int64_t>(paths.size()));
    }
    return all;
}

dalle2::Array ClipTool::pixels(const std::vector<dalle2::Array>& pixels) const {
    return clip_->embed_pixels(pixels, {.threads = settings_.threads, .stop = stop_});
}

dalle2::Array ClipTool::labels(const std::vector<std::string>& labels,
                               const std::vector<std::string>& sentences) const {
    warn_of_truncation(labels);
    ProgressBar bar;
    return clip_->embed_labels(labels, sentences,
                               {.threads = settings_.threads,
                                .progress =
                                    [&](std::int64_t done, std::int64_t total) {
                                        if (total > 100) bar.update("labels", done, total);
                                    },
                                .stop = stop_});
}

std::string without_blanks(const std::string& text) {
    constexpr const char* blank = " \t\r\n\v\f";
    const std::size_t first = text.find_first_not_of(blank);
    if (first == std::string::npos) return "";
    return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

std::vector<std::string> lines_of_file(const std::string& path) {
    const std::string text = dalle2::read_file(path);
    std::vector<std::string> lines;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        const std::string line = without_blanks(text.substr(begin, end - begin));
        if (!line.empty()) lines.push_back(line);
        begin = end + 1;
    }
    if (lines.empty()) throw dalle2::FormatError(path + " has no lines; expected at least one");
    return lines;
}

}  // namespace tool
