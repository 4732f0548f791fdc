// A folder of pictures with captions: name.png beside name.txt, or metadata.jsonl with lines such
// as
// {"file_name": "name.png", "text": "a red apple"}, as Hugging Face's ImageFolder has it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/core/random.hpp>
#include <dalle2/data/square_picture.hpp>
#include <dalle2/io/file.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/io/picture.hpp>
#include <dalle2/io/picture_files.hpp>

namespace dalle2 {

struct FolderEntry {
    std::filesystem::path picture;
    std::vector<std::string> captions;  // one or more, of which each visit takes one
};

// Told of each file that is passed over, once, and why.
using SkipReport = std::function<void(const std::filesystem::path& file, const std::string& why)>;

namespace detail {

// The lines of a text that hold more than spaces, without spaces around them.
inline std::vector<std::string> text_lines(std::string_view text) {
    std::vector<std::string> lines;
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        constexpr std::string_view blank = " \t\r\v\f";
        const std::size_t first = line.find_first_not_of(blank);
        if (first == std::string_view::npos) continue;
        lines.emplace_back(line.substr(first, line.find_last_not_of(blank) - first + 1));
    }
    return lines;
}

// The captions of one line of metadata.jsonl, by its "text" (a string or several), or "caption".
inline std::pair<std::string, std::vector<std::string>> metadata_line(const std::string& line,
                                                                      const std::string& where) {
    const auto fail = [&](const std::string& what) {
        throw FormatError(where + ": " + what +
                          "; expected {\"file_name\": \"name.png\", \"text\": \"a caption\"}");
    };
    Json json;
    try {
        json = parse_json(line, where);
    } catch (const FormatError&) {
        // null, which is no object
    }
    if (!json.is_object()) fail("not a JSON object");
    const Json& name = value_at(json, "file_name");
    if (!name.is_string()) fail("no \"file_name\" that is a string");
    const Json& named = value_at(json, "text");
    const Json& text = named.is_null() ? value_at(json, "caption") : named;
    if (text.is_null()) fail("no \"text\"");
    std::vector<std::string> captions;
    const Json list = text.is_array() ? text : Json::array({text});
    for (const Json& caption : list) {
        if (!caption.is_string()) fail("a \"text\" that is not a string");
        captions.push_back(caption.get<std::string>());
    }
    if (captions.empty()) fail("an empty \"text\"");
    return {name.get<std::string>(), std::move(captions)};
}

// A permutation of 0 … count−1 with random access: a Feistel network over the next power of four,
// walked until it lands inside.
inline std::uint64_t permuted(std::uint64_t index, std::uint64_t count,
                              const CounterGenerator& random) {
    int half = 1;
    while (half < 31 && (std::uint64_t{1} << (2 * half)) < count) ++half;
    const std::uint64_t mask = (std::uint64_t{1} << half) - 1;
    do {
        std::uint64_t left = index >> half, right = index & mask;
        for (std::uint64_t round = 0; round < 4; ++round) {
            const std::uint64_t next = left ^ (random.bits((round << 32) | right) & mask);
            left = std::exchange(right, next);
        }
        index = (left << half) | right;
    } while (index >= count);
    return index;
}

}  // namespace detail

// What the folder and its subfolders hold, sorted by path. A picture without a caption and a line
// of metadata.jsonl without its picture are passed over and reported. Throws IoError when the
// folder cannot be read, FormatError when it has no picture, no caption, or a wrong line of
// metadata.jsonl.
inline std::vector<FolderEntry> list_pictures(const std::filesystem::path& folder,
                                              const SkipReport& on_skip = {}) {
    namespace fs = std::filesystem;
    std::error_code error;
    if (!fs::is_directory(folder, error))
        throw IoError("cannot read the training folder " + folder.string() +
                      ": no such directory; expected pictures with captions");
    std::set<fs::path> pictures, metadata_files;
    for (fs::recursive_directory_iterator next(folder, error), end; next != end && !error;
         next.increment(error)) {
        std::error_code ignored;
        if (!next->is_regular_file(ignored)) continue;
        if (is_picture_name(next->path())) pictures.insert(next->path().lexically_normal());
        if (next->path().filename() == "metadata.jsonl") metadata_files.insert(next->path());
    }
    if (error) throw IoError("cannot list " + folder.string() + ": " + error.message());
    const std::string expected = "; expected name.png with name.txt, or metadata.jsonl";
    if (pictures.empty())
        throw FormatError("the training folder " + folder.string() + " has no pictures" + expected);

    std::map<fs::path, std::vector<std::string>> captions;
    const auto skip = [&](const fs::path& file, const std::string& why) {
        if (on_skip) on_skip(file, why);
    };
    for (const fs::path& file : metadata_files) {
        std::string text = read_file(file, std::uint64_t{1} << 32);
        std::size_t number = 0;
        for (std::size_t begin = 0; begin < text.size();) {
            const std::size_t end = std::min(text.find('\n', begin), text.size());
            const std::string line = text.substr(begin, end - begin);
            begin = end + 1, ++number;
            if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
            auto [name, words] =
                detail::metadata_line(line, file.string() + ", line " + std::to_string(number));
            const fs::path picture = (file.parent_path() / name).lexically_normal();
            if (pictures.count(picture) == 0)
                skip(picture, "named by metadata.jsonl, but no such picture in the folder");
            else
                captions[picture] = std::move(words);
        }
    }
    std::vector<FolderEntry> entries;
    for (const fs::path& picture : pictures) {
        auto found = captions.find(picture);
        if (found != captions.end()) {
            entries.push_back({picture, std::move(found->second)});
            continue;
        }
        const fs::path beside = fs::path(picture).replace_extension(".txt");
        std::error_code ignored;
        if (!fs::is_regular_file(beside, ignored)) {
            skip(picture, "no caption");
            continue;
        }
        try {
            std::vector<std::string> lines = detail::text_lines(read_file(beside));
            if (lines.empty())
                skip(picture, "its caption " + beside.string() + " is empty");
            else
                entries.push_back({picture, std::move(lines)});
        } catch (const Error& problem) {
            skip(picture, problem.what());
        }
    }
    if (entries.empty())
        throw FormatError("the training folder " + folder.string() + " has " +
                          std::to_string(pictures.size()) + " pictures and no captions" + expected);
    return entries;
}

struct PictureFolderOptions {
    std::uint64_t seed = 0;
    bool shuffled = true;   // anew in each epoch
    bool mirrored = false;  // half of the visits mirror the picture; wrong for "left of"
    SkipReport on_skip = {};
};

// The folder as an endless source: every picture once in each epoch. A picture that cannot be read
// is counted and reported once, and another one takes its place. Const use from several threads is
// safe; on_skip is called under a lock.
class PictureFolder {
public:
    // Throws what list_pictures throws.
    explicit PictureFolder(const std::filesystem::path& folder, PictureFolderOptions options = {})
        : folder_(folder),
          options_(std::move(options)),
          entries_(list_pictures(folder,
                                 [this](const auto& file, const auto& why) { skip(file, why); })),
          listed_skips_(skipped_.size()) {}

    const std::vector<FolderEntry>& entries() const { return entries_; }
    std::size_t size() const { return entries_.size(); }

    // How many files were passed over so far.
    std::size_t skipped_count() const {
        const std::lock_guard<std::mutex> lock(mutex_);
        return skipped_.size();
    }

    // Which entry stands at a position of the endless order.
    std::size_t entry_at(std::uint64_t position) const {
        const std::uint64_t epoch = position / size(), index = position % size();
        if (!options_.shuffled) return static_cast<std::size_t>(index);
        return static_cast<std::size_t>(
            detail::permuted(index, size(), CounterGenerator(options_.seed, 2 * epoch)));
    }

    // Writes the picture as [size, size, 3] in [-1, 1], cropped to its middle square, unless `out`
    // is null, and returns a caption: a pure function of its arguments and the folder, so that a
    // run resumes with a number. Throws IoError when no picture of the folder can be read.
    std::string sample(std::uint64_t index, std::int64_t picture_size, float* out) const {
        const CounterGenerator random = CounterGenerator(options_.seed, 1).fork(index);
        std::size_t entry = entry_at(index);
        for (std::uint64_t attempt = 0;; ++attempt) {
            if (read(entry, picture_size, out, options_.mirrored && random.below(0, 2) == 1)) {
                const auto& captions = entries_[entry].captions;
                return captions[random.below(1, static_cast<std::uint32_t>(captions.size()))];
            }
            if (skipped_count() - listed_skips_ >= size())
                throw IoError("none of the " + std::to_string(size()) + " pictures in " +
                              folder_.string() + " can be read; expected PNG, JPEG or BMP files");
            entry = random.below(2 + attempt, static_cast<std::uint32_t>(size()));
        }
    }

private:
    bool read(std::size_t entry, std::int64_t picture_size, float* out, bool mirror) const {
        const std::filesystem::path& path = entries_[entry].picture;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (skipped_.count(path)) return false;
        }
        try {
            const Picture picture = read_picture(path);
            if (out) square_picture(picture, static_cast<int>(picture_size), out, mirror);
            return true;
        } catch (const IoError& error) {
            skip(path, error.what());
        } catch (const FormatError& error) {
            skip(path, error.what());
        }
        return false;
    }

    void skip(const std::filesystem::path& file, const std::string& why) const {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (skipped_.insert(file).second && options_.on_skip) options_.on_skip(file, why);
    }

    std::filesystem::path folder_;
    PictureFolderOptions options_;
    mutable std::mutex mutex_;
    mutable std::set<std::filesystem::path> skipped_;
    std::vector<FolderEntry> entries_;  // after skipped_, which listing fills
    std::size_t listed_skips_;
};

}  // namespace dalle2
