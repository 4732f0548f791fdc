// A folder of pictures by their CLIP embeddings, kept in a file that is brought up to date instead
// of made anew.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <dalle2/clip/unit_rows.hpp>
#include <dalle2/clip/zero_shot.hpp>
#include <dalle2/core/array.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/io/picture.hpp>
#include <dalle2/io/picture_files.hpp>
#include <dalle2/io/safetensors.hpp>
#include <dalle2/io/utf8.hpp>
#include <dalle2/kernels/parallel.hpp>

namespace dalle2 {

// How files become embeddings.
struct PictureEmbedder {
    // One file → [1, height, width, 3]. Throws a dalle2::Error for a file that cannot be read; is
    // called from several threads at once.
    std::function<Array(const std::filesystem::path&)> read;
    // Several such → [pictures, width].
    std::function<Array(const std::vector<Array>&)> embed;
    // Says, with `probe`, which model it is: its engine and options. An index of another one is of
    // no use.
    std::string settings;
    // The embedding [1, width] of index_probe(): what the model makes of a known picture is a
    // fingerprint that no copying or moving of its files changes.
    Array probe;
};

// A picture that no folder will contain.
inline Picture index_probe() {
    Picture probe = make_picture(61, 47);
    for (std::size_t i = 0; i < probe.rgb.size(); ++i)
        probe.rgb[i] = static_cast<std::uint8_t>((i * i * 31 + i * 7) >> 5);
    return probe;
}

struct IndexUpdate {
    std::size_t kept = 0, added = 0, dropped = 0, unreadable = 0;  // unreadable: in all
};

struct IndexUpdateOptions {
    std::size_t batch = 32;  // pictures in memory at once
    std::function<void(std::size_t done, std::size_t total)> progress = nullptr;
    // Told of each file that cannot be read, once: the index remembers it.
    std::function<void(const std::string& file, const std::string& why)> on_skip = nullptr;
    std::stop_token stop = {};
};

struct IndexHit {
    std::string file;  // relative to the folder
    float cosine = 0;  // with the query
};

class PictureIndex {
public:
    // The index in `file`, or an empty one if there is no such file, or it is damaged, or belongs
    // to another model; `notice` is told why. Throws IoError when the file cannot be read.
    PictureIndex(std::filesystem::path file, PictureEmbedder embedder,
                 const std::function<void(const std::string&)>& notice = nullptr)
        : file_(std::move(file)), embedder_(std::move(embedder)) {
        width_ = shape_of(embedder_.probe).back();
        std::error_code ignored;
        if (!std::filesystem::exists(file_, ignored)) return;
        try {
            if (const std::string why = load(); !why.empty() && notice)
                notice("the index " + file_.string() + " is made anew: " + why);
        } catch (const FormatError& error) {
            entries_.clear();
            if (notice) notice(std::string("the index is made anew: ") + error.what());
        }
    }

    std::size_t size() const {
        return static_cast<std::size_t>(
            std::count_if(entries_.begin(), entries_.end(),
                          [](const auto& entry) { return !entry.second.embedding.empty(); }));
    }

    // Reads what is new or has changed in the folder, forgets what is gone, and writes the index if
    // anything did. Stopped, it keeps what it has. Throws IoError, Cancelled.
    IndexUpdate update(const std::filesystem::path& folder,
                       const IndexUpdateOptions& options = {}) {
        IndexUpdate report;
        std::map<std::string, Entry> old = std::exchange(entries_, {});
        std::vector<std::pair<std::string, Entry>> unread;
        for (const std::filesystem::path& path : picture_files(folder)) {
            const std::string name = path.generic_string();
            Entry entry = stamp(folder / path);
            const auto found = old.find(name);
            if (found != old.end() && found->second.bytes == entry.bytes &&
                found->second.modified == entry.modified) {
                if (!found->second.embedding.empty()) ++report.kept;
                entries_.insert(old.extract(found));
                continue;
            }
            if (found != old.end()) old.erase(found);
            if (repaired_utf8(name) == name)
                unread.emplace_back(name, std::move(entry));
            else if (options.on_skip)
                options.on_skip(name, "its name is not UTF-8");
        }
        report.dropped = old.size();
        const bool changed = !old.empty() || !unread.empty();
        for (std::size_t first = 0; first < unread.size(); first += options.batch) {
            const std::size_t count = std::min(options.batch, unread.size() - first);
            try {
                if (options.stop.stop_requested()) throw Cancelled();
                report.added += add(folder, std::span(unread).subspan(first, count), options);
            } catch (const Cancelled&) {
                save();
                throw;
            }
            if (options.progress) options.progress(first + count, unread.size());
        }
        report.unreadable = entries_.size() - size();
        std::error_code ignored;
        if (changed || !std::filesystem::exists(file_, ignored)) save();
        return report;
    }

    // The pictures nearest to a query [1, width] of any length, the best first; equally near ones
    // by name. Throws ShapeError.
    std::vector<IndexHit> nearest(const Array& query, std::size_t count) const {
        std::vector<IndexHit> hits;
        for (const auto& [name, entry] : entries_)
            if (!entry.embedding.empty()) hits.push_back({name, 0});
        const Array cosines = cosine_similarities(query, embeddings());
        for (std::size_t i = 0; i < hits.size(); ++i) hits[i].cosine = cosines.data()[i];
        count = std::min(count, hits.size());
        std::partial_sort(hits.begin(), hits.begin() + static_cast<std::ptrdiff_t>(count),
                          hits.end(), [](const IndexHit& a, const IndexHit& b) {
                              return a.cosine != b.cosine ? a.cosine > b.cosine : a.file < b.file;
                          });
        hits.resize(count);
        return hits;
    }

private:
    struct Entry {
        std::uint64_t bytes = 0;
        std::int64_t modified = 0;     // in the file system's own count
        std::vector<float> embedding;  // of unit length; empty: the file cannot be read
    };

    static Entry stamp(const std::filesystem::path& path) {
        std::error_code ignored;
        Entry entry;
        entry.bytes = std::filesystem::file_size(path, ignored);
        entry.modified = static_cast<std::int64_t>(
            std::filesystem::last_write_time(path, ignored).time_since_epoch().count());
        return entry;
    }

    // [entries with an embedding, width]
    Array embeddings() const {
        Array all = make_array({static_cast<std::int64_t>(size()), width_});
        float* next = all.data();
        for (const auto& [name, entry] : entries_)
            next = std::copy(entry.embedding.begin(), entry.embedding.end(), next);
        return all;
    }

    // Reads and embeds some files; how many could be.
    std::size_t add(const std::filesystem::path& folder,
                    std::span<std::pair<std::string, Entry>> files,
                    const IndexUpdateOptions& options) {
        std::vector<std::optional<Array>> read(files.size());
        std::vector<std::string> problems(files.size());
        kernels::parallel_for(static_cast<std::int64_t>(files.size()), [&](std::int64_t task, int) {
            const auto i = static_cast<std::size_t>(task);
            try {
                read[i] = embedder_.read(folder / files[i].first);
            } catch (const std::exception& error) {
                problems[i] = error.what();
            }
        });
        std::vector<Array> pixels;
        for (std::optional<Array>& one : read)
            if (one) pixels.push_back(std::move(*one));
        Array made = make_array({0, width_});
        if (!pixels.empty()) made = unit_rows(embedder_.embed(pixels)).directions;
        const float* next = made.data();
        for (std::size_t i = 0; i < files.size(); ++i) {
            if (read[i]) {
                files[i].second.embedding.assign(next, next + width_);
                next += width_;
            } else if (options.on_skip) {
                options.on_skip(files[i].first, problems[i]);
            }
            entries_.insert(std::move(files[i]));
        }
        return pixels.size();
    }

    // Why the index in the file is of no use, or nothing. Throws FormatError.
    std::string load() {
        const SafetensorsFile file(file_);
        const auto settings = file.metadata().find("settings");
        for (const char* name : {"entries", "probe", "embeddings"})
            if (settings == file.metadata().end() || !file.contains(name))
                throw FormatError(file_.string() + " is not an index of pictures");
        if (settings->second != embedder_.settings) return "it was made with other settings";
        const Array probe = file.to_array("probe");
        if (!same_model(probe)) return "it was made with another model";
        const TensorView text = file.view("entries");
        const Json entries = parse_json(
            std::string_view(reinterpret_cast<const char*>(text.bytes.data()), text.bytes.size()),
            file_.string());
        const Array embeddings = file.to_array("embeddings");
        const Shape shape = shape_of(embeddings);
        std::int64_t row = 0;
        const auto damaged = [&]() -> void {
            throw FormatError(file_.string() + " is damaged: its entries do not fit together");
        };
        if (!entries.is_array() || shape.size() != 2 || shape[1] != width_) damaged();
        for (const Json& line : entries) {
            if (!line.is_array() || line.size() != 4 || !line[0].is_string() ||
                !line[1].is_number_unsigned() || !line[2].is_number_integer() ||
                !line[3].is_boolean())
                damaged();
            Entry entry{line[1].get<std::uint64_t>(), line[2].get<std::int64_t>(), {}};
            if (line[3].get<bool>()) {
                if (row >= shape[0]) damaged();
                const float* values = embeddings.data() + row++ * width_;
                entry.embedding.assign(values, values + width_);
            }
            entries_.emplace(line[0].get<std::string>(), std::move(entry));
        }
        if (row != shape[0]) damaged();
        return "";
    }

    // Up to what other threads or kernels may round differently.
    bool same_model(const Array& probe) const {
        if (probe.size() != embedder_.probe.size()) return false;
        double largest = 0, difference = 0;
        for (std::size_t i = 0; i < probe.size(); ++i) {
            const double mine = static_cast<double>(embedder_.probe.data()[i]),
                         other = static_cast<double>(probe.data()[i]);
            largest = std::max(largest, std::abs(mine));
            if (!(std::abs(mine - other) <= difference)) difference = std::abs(mine - other);
        }
        return difference <= 1e-3 * largest;
    }

    void save() const {
        Json entries = Json::array();
        for (const auto& [name, entry] : entries_)
            entries.push_back({name, entry.bytes, entry.modified, !entry.embedding.empty()});
        const std::string text = entries.dump();
        const Array all = embeddings();
        std::error_code ignored;
        if (file_.has_parent_path())
            std::filesystem::create_directories(file_.parent_path(), ignored);
        SafetensorsWriter writer(
            file_,
            {{"probe", shape_of(embedder_.probe), DType::f32},
             {"embeddings", shape_of(all), DType::f32},
             {"entries", {static_cast<std::int64_t>(text.size())}, DType::u8}},
            {{"format", "dalle2 picture index"}, {"settings", embedder_.settings}});
        writer.add(embedder_.probe);
        writer.add(all);
        writer.add_bytes(std::as_bytes(std::span(text)));
        writer.commit();
    }

    std::filesystem::path file_;
    PictureEmbedder embedder_;
    std::int64_t width_ = 0;
    std::map<std::string, Entry> entries_;
};

}  // namespace dalle2
