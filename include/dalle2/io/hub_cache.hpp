// Where a model lies: a folder as it is, or the place in the Hugging Face hub's cache where a
// download of it was left:
//
//     models--org--name/refs/main              the name of a snapshot
//     models--org--name/snapshots/<commit>/    the model; its files are links into blobs/
//
// Nothing is ever downloaded.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/file.hpp>

namespace dalle2 {

namespace detail {

inline bool is_folder(const std::filesystem::path& path) {
    std::error_code ignored;
    return std::filesystem::is_directory(path, ignored);
}

// Letters, digits, "-", "_" and "."; not a hidden name, and none that leads out of its folder.
inline bool is_hub_word(std::string_view text) {
    return !text.empty() && text.size() <= 96 && text.front() != '.' &&
           std::all_of(text.begin(), text.end(), [](char c) {
               return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' ||
                      c == '.';
           });
}

// "org/name" or "org/name@revision".
struct HubName {
    std::string organisation, name, revision = "main";
};
inline std::optional<HubName> parse_hub_name(std::string_view text) {
    HubName hub;
    if (const std::size_t at = text.find('@'); at != std::string_view::npos) {
        hub.revision = text.substr(at + 1);
        text = text.substr(0, at);
    }
    const std::size_t slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    hub.organisation = text.substr(0, slash);
    hub.name = text.substr(slash + 1);
    if (!is_hub_word(hub.organisation) || !is_hub_word(hub.name) || !is_hub_word(hub.revision))
        return std::nullopt;
    return hub;
}

inline std::filesystem::path environment_path(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

}  // namespace detail

// The folder that huggingface_hub keeps its downloads in, by the same rules: $HF_HUB_CACHE,
// $HUGGINGFACE_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub.
// Empty when no variable says where a user's files are.
inline std::filesystem::path hub_cache_folder() {
    using detail::environment_path;
    for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
        if (const auto folder = environment_path(name); !folder.empty()) return folder;
    if (const auto home = environment_path("HF_HOME"); !home.empty()) return home / "hub";
    if (const auto cache = environment_path("XDG_CACHE_HOME"); !cache.empty())
        return cache / "huggingface" / "hub";
    const auto home = environment_path("HOME");
    return home.empty() ? home : home / ".cache" / "huggingface" / "hub";
}

namespace detail {

// The snapshot in a folder such as models--org--name. Throws IoError, FormatError.
inline std::filesystem::path hub_snapshot(const std::filesystem::path& repository,
                                          const std::string& revision) {
    const std::filesystem::path snapshots = repository / "snapshots";
    if (is_folder(snapshots / revision)) return snapshots / revision;  // the commit itself
    const std::filesystem::path reference = repository / "refs" / revision;
    std::error_code ignored;
    if (std::filesystem::exists(reference, ignored)) {
        std::string commit = read_file(reference, 4096);
        while (!commit.empty() && std::isspace(static_cast<unsigned char>(commit.back())))
            commit.pop_back();
        if (!is_hub_word(commit))
            throw FormatError(reference.string() +
                              " does not hold the name of a snapshot; expected a commit");
        if (is_folder(snapshots / commit)) return snapshots / commit;
        throw IoError("the download of " + repository.string() +
                      " is incomplete: " + reference.string() + " names the snapshot " + commit +
                      ", which is not there");
    }
    std::vector<std::string> names;
    for (std::filesystem::directory_iterator entry(snapshots, ignored), end;
         !ignored && entry != end; entry.increment(ignored))
        names.push_back(entry->path().filename().string());
    // Without a reference there is no doubt as long as there is one snapshot.
    if (names.size() == 1 && revision == "main" && is_folder(snapshots / names[0]))
        return snapshots / names[0];
    std::sort(names.begin(), names.end());
    std::string listed;
    for (const std::string& name : names) listed += (listed.empty() ? "" : ", ") + name;
    throw IoError(repository.string() + " has no revision \"" + revision +
                  "\"; its snapshots are " + (listed.empty() ? "none" : listed));
}

}  // namespace detail

// The folder that a person means by `path`: that folder itself; for one such as models--org--name
// its snapshot; and for "org/name" or "org/name@revision", where there is no such folder, the
// snapshot in the hub's cache. Anything else is returned as it is. Throws IoError when the cache
// does not have the model or the revision.
inline std::filesystem::path resolve_model_path(const std::filesystem::path& path) {
    std::error_code ignored;
    if (detail::is_folder(path / "snapshots") &&
        !std::filesystem::exists(path / "model_index.json", ignored) &&
        !std::filesystem::exists(path / "config.json", ignored))
        return detail::hub_snapshot(path, "main");
    if (std::filesystem::exists(path, ignored)) return path;
    const auto hub = detail::parse_hub_name(path.string());
    const std::filesystem::path cache = hub_cache_folder();
    if (!hub || cache.empty()) return path;
    const std::filesystem::path repository =
        cache / ("models--" + hub->organisation + "--" + hub->name);
    if (!detail::is_folder(repository))
        throw IoError("no model at '" + path.string() + "': there is no such directory, and " +
                      cache.string() + " has no download of that name; nothing is downloaded here");
    return detail::hub_snapshot(repository, hub->revision);
}

}  // namespace dalle2
