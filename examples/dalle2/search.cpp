// dalle2 search: the pictures of a folder that words, or another picture, describe best.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <unistd.h>

#include <dalle2/core/error.hpp>
#include <dalle2/io/atomic_file.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/io/utf8.hpp>
#include <dalle2/pipeline/picture_index.hpp>

#include "clip.hpp"
#include "commands.hpp"
#include "gallery_page.hpp"
#include "terminal.hpp"

namespace tool {

namespace {

namespace fs = std::filesystem;

struct SearchSettings {
    ClipSettings clip = default_clip_settings();
    std::string folder, words, picture, html, index;
    std::size_t top = 10;
    bool json = false;
};

// A short name that hardly two texts share.
std::string hash_name(std::string_view text) {
    std::uint64_t hash = 14695981039346656037u;  // FNV-1a
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    char name[17];
    std::snprintf(name, sizeof name, "%016llx", static_cast<unsigned long long>(hash));
    return name;
}

// Where the index is kept: in the folder, or with the user's caches where the folder may not be
// written to. One for each model, so that they do not push each other out.
fs::path index_file(const SearchSettings& settings, const std::string& settings_text) {
    if (!settings.index.empty()) return settings.index;
    std::error_code error;
    const fs::path model = fs::weakly_canonical(settings.clip.model, error);
    const fs::path folder = fs::weakly_canonical(settings.folder, error);
    const std::string name = hash_name(model.string() + "\n" + settings_text) + ".safetensors";
    if (::access(settings.folder.c_str(), W_OK) == 0)
        return fs::path(settings.folder) / ".dalle2-index" / name;
    const auto variable = [](const char* key) -> fs::path {
        const char* value = std::getenv(key);
        return value ? value : "";
    };
    fs::path cache = variable("XDG_CACHE_HOME");
    if (cache.empty() && !variable("HOME").empty()) cache = variable("HOME") / ".cache";
    if (cache.empty())
        throw dalle2::IoError("cannot write into " + settings.folder +
                              "; give a file for its index with --index");
    return cache / "dalle2" / "index" / (hash_name(folder.string()) + "-" + name);
}

dalle2::PictureEmbedder embedder(const ClipTool& clip) {
    const auto embed = [&clip](const std::vector<dalle2::Array>& pixels) {
        return clip.pixels(pixels);
    };
    return {.read = [&clip](const fs::path& file) { return clip.preprocessor()(clip.read(file)); },
            .embed = embed,
            .settings = clip.settings_text(),
            .probe = embed({clip.preprocessor()(dalle2::index_probe())})};
}

// Brings the index up to date, saying what happened.
void update(dalle2::PictureIndex& index, const std::string& folder, const std::stop_token& stop) {
    ProgressBar bar{"pictures"};
    const dalle2::IndexUpdate done = index.update(
        folder, {.progress =
                     [&](std::size_t read, std::size_t total) {
                         bar.update("index", static_cast<std::int64_t>(read),
                                    static_cast<std::int64_t>(total));
                     },
                 .on_skip =
                     [&](const std::string& file, const std::string& why) {
                         bar.finish();
                         // Most of them name the file already.
                         warn("passed over" +
                              (why.find(file) == std::string::npos ? " " + file : "") + ": " + why);
                     },
                 .stop = stop});
    bar.finish();
    if (done.added || done.dropped)
        std::cerr << "index: " << done.added << " new, " << done.kept << " known, " << done.dropped
                  << " gone" << std::endl;
    if (index.size() == 0)
        throw dalle2::IoError("no pictures in " + folder +
                              " that can be read; expected PNG, JPEG or BMP files");
}

void write_page(const SearchSettings& settings, const ClipTool& clip, std::size_t all,
                const std::vector<dalle2::IndexHit>& hits) {
    std::vector<GalleryEntry> entries;
    for (const dalle2::IndexHit& hit : hits) {
        const fs::path file = fs::path(settings.folder) / hit.file;
        entries.push_back({clip.read(file), file, hit.file, static_cast<double>(hit.cosine)});
    }
    const std::string title = settings.words.empty()
                                  ? "like " + fs::path(settings.picture).filename().string()
                                  : settings.words;
    const std::string remark = std::to_string(hits.size()) + " of " + std::to_string(all) +
                               " pictures in " + settings.folder + ", the nearest first";
    dalle2::write_file(settings.html, gallery_page(title, remark, entries, settings.html));
}

void search(const SearchSettings& settings, const std::stop_token& stop) {
    if (settings.words.empty() == settings.picture.empty())
        throw dalle2::ConfigError("expected either words to search for, or --picture FILE");
    std::error_code ignored;
    if (!fs::is_directory(settings.folder, ignored))
        throw dalle2::IoError("there is no folder " + settings.folder);
    if (!settings.html.empty()) check_writable(settings.html);
    const ClipTool clip(settings.clip, stop);
    const dalle2::Array query =
        settings.words.empty() ? clip.pictures({settings.picture}) : clip.texts({settings.words});
    dalle2::PictureIndex index(index_file(settings, clip.settings_text()), embedder(clip), warn);
    update(index, settings.folder, stop);

    const std::vector<dalle2::IndexHit> hits = index.nearest(query, settings.top);
    if (settings.json) {
        dalle2::OrderedJson json = dalle2::OrderedJson::array();
        for (const dalle2::IndexHit& hit : hits)
            json.push_back({{"file", hit.file}, {"cosine", hit.cosine}});
        std::cout << json.dump(2) << "\n";
    } else {
        for (const dalle2::IndexHit& hit : hits)
            std::cout << std::fixed << std::setprecision(3) << std::setw(6) << hit.cosine << "  "
                      << one_line((fs::path(settings.folder) / hit.file).string()) << "\n";
    }
    if (!settings.html.empty()) {
        write_page(settings, clip, index.size(), hits);
        std::cerr << settings.html << ": open it in a browser" << std::endl;
    }
}

}  // namespace

void add_search(CLI::App& app, const std::stop_token& stop) {
    CLI::App* command =
        app.add_subcommand("search", "Find the pictures of a folder that words describe best");
    const auto settings = std::make_shared<SearchSettings>();
    command
        ->add_option("FOLDER", settings->folder, "Pictures, and folders of pictures, to any depth")
        ->required();
    command->add_option("WORDS", settings->words, "What to look for, in quotes");
    command->add_option("--picture", settings->picture, "Look for pictures like this one instead");
    command->add_option("--top", settings->top, "How many to show")
        ->check(whole(1, 10000))
        ->capture_default_str();
    command->add_option("--html", settings->html, "Also write them as a web page");
    command->add_flag("--json", settings->json, "As JSON");
    command->add_option("--index", settings->index,
                        "A file for the index (FOLDER/.dalle2-index/… unless given)");
    add_clip_options(*command, settings->clip);
    command->footer(
        "The first search reads every picture, later ones only what is new or has changed.\n"
        "Examples:\n"
        "  dalle2 data scenes --count 1000 --output scenes\n"
        "  dalle2 search scenes \"a red car on a blue background\" --html found.html\n"
        "  dalle2 search ~/Pictures \"a dog in the snow\" --model openai/clip-vit-base-patch32");
    command->callback([settings, stop] { search(*settings, stop); });
}

}  // namespace tool
