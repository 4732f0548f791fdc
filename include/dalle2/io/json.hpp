// JSON files, read strictly: a limit on size and depth, no key twice.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <dalle2/core/error.hpp>
#include <dalle2/io/atomic_file.hpp>
#include <dalle2/io/file.hpp>
#include <dalle2/io/json_builder.hpp>

namespace dalle2 {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;  // keeps the order in which keys were added

// Parses JSON. Throws FormatError, naming `name` and the place, for anything that is not JSON, a
// key that occurs twice in an object, lists and objects nested deeper than the limit, and values
// that would take much more memory than the text.
inline Json parse_json(std::string_view text, const std::string& name,
                       const JsonLimits& limits = {}) {
    if (text.find('\0') != std::string_view::npos)
        throw FormatError(name + " is not JSON: it contains a zero byte");
    if (detail::longest_json_token(text) > limits.text_length)
        throw FormatError(name + ": a text or number of more than " +
                          std::to_string(limits.text_length) + " bytes");
    if (text.empty()) throw FormatError(name + " is not JSON: it is empty");
    detail::JsonBuilder builder(name, text.size(), limits);
    detail::parse_json_events(text, builder);
    return builder.take();
}

// Reads a JSON file. Throws IoError when it cannot be opened or is no file (a pipe would wait for
// ever), FormatError as parse_json.
inline Json read_json(const std::filesystem::path& path, const JsonLimits& limits = {}) {
    std::error_code ignored;
    if (std::filesystem::is_other(path, ignored))
        throw IoError("cannot read " + path.string() + ": not a regular file");
    return parse_json(read_file(path, limits.file_size), path.string(), limits);
}

// The value under a key; null where `json` is no object or lacks the key. (The library's own lookup
// by a text in quotes is compiled anew for every length of it.)
inline const Json& value_at(const Json& json, const std::string& key) {
    static const Json absent;
    if (!json.is_object()) return absent;
    const auto found = json.find(key);
    return found == json.end() ? absent : *found;
}
const Json& value_at(Json&& json, const std::string& key) = delete;  // the value would be gone

// Sets the key of an object; a new key stands last. One function for each kind of value: by way of
// json["key"] = "text" every length of a key and of a text is compiled on its own, a second of
// every file that includes dalle2.hpp.
inline void put(OrderedJson& json, const std::string& key, OrderedJson value) {
    json[key] = std::move(value);
}
inline void put(OrderedJson& json, const std::string& key, const std::string& value) {
    put(json, key, OrderedJson(value));
}
inline void put(OrderedJson& json, const std::string& key, const char* value) {
    put(json, key, std::string(value));
}
inline void put(OrderedJson& json, const std::string& key, bool value) {
    put(json, key, OrderedJson(value));
}
inline void put(OrderedJson& json, const std::string& key, double value) {
    put(json, key, OrderedJson(value));
}
inline void put(OrderedJson& json, const std::string& key, std::int64_t value) {
    put(json, key, OrderedJson(value));
}
inline void put(OrderedJson& json, const std::string& key, std::uint64_t value) {
    put(json, key, OrderedJson(value));
}
inline void put(OrderedJson& json, const std::string& key, int value) {
    put(json, key, std::int64_t{value});
}
inline void put(OrderedJson& json, const std::string& key, const std::vector<std::string>& values) {
    put(json, key, OrderedJson(values));
}

// Writes JSON, indented, with a new line at the end; atomically. Throws IoError.
template <class AnyJson>
void write_json(const std::filesystem::path& path, const AnyJson& json) {
    try {
        write_file(path, json.dump(2) + "\n");
    } catch (const Json::exception&) {
        throw FormatError("cannot write " + path.string() + ": a text is not UTF-8");
    }
}

}  // namespace dalle2
