// JSON files, read strictly: a limit on size and depth, no key twice.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <dalle2/core/error.hpp>
#include <dalle2/io/atomic_file.hpp>
#include <dalle2/io/file.hpp>

namespace dalle2 {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;  // keeps the order in which keys were added

struct JsonLimits {
    std::uint64_t file_size = 64u << 20;
    int depth = 64;
    std::size_t text_length = 1u << 22;  // of one text or number
    // What the parsed values may take beyond the size of the file, about.
    std::size_t memory = 48u << 20;
};

namespace detail {

// The length of the longest text (between its quotes), number or word in JSON: the parser holds
// copies of such a piece.
inline std::size_t longest_json_token(std::string_view text) {
    std::size_t longest = 0, length = 0;
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quoted ? c == '"' : std::string_view("\",:[]{} \t\r\n").find(c) != text.npos) {
            longest = std::max(longest, length);
            length = 0;
            if (c == '"') quoted = !quoted;
            continue;
        }
        if (quoted && c == '\\') ++i;  // the next one is no end
        ++length;
    }
    return std::max(longest, length);
}

}  // namespace detail

// Parses JSON. Throws FormatError, naming `name` and the place, for anything that is not JSON, a
// key that occurs twice in an object, lists and objects nested deeper than the limit, and values
// that would take much more memory than the text.
inline Json parse_json(std::string_view text, const std::string& name,
                       const JsonLimits& limits = {}) {
    // Nodes of two trees, with their texts; a value, and as much again while its list grows.
    constexpr std::size_t bytes_per_key = 192, bytes_per_value = 40;
    std::size_t memory = 0;
    std::vector<std::set<std::string>> keys;  // of the objects around the current place
    const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
        if (depth > limits.depth)
            throw FormatError(name + ": nested more than " + std::to_string(limits.depth) +
                              " deep");
        // A key is held twice, by its object and for the check of duplicates.
        memory += event == Json::parse_event_t::key ? bytes_per_key : bytes_per_value;
        if (memory > limits.memory + text.size())
            throw FormatError(name + ": too many values for a file of " +
                              std::to_string(text.size()) + " bytes");
        if (event == Json::parse_event_t::object_start) keys.emplace_back();
        if (event == Json::parse_event_t::object_end) keys.pop_back();
        if (event == Json::parse_event_t::key &&
            !keys.back().insert(parsed.get_ref<const std::string&>()).second)
            throw FormatError(name + ": the key " + parsed.dump() + " occurs twice");
        return true;
    };
    if (text.find('\0') != std::string_view::npos)
        throw FormatError(name + " is not JSON: it contains a zero byte");
    if (detail::longest_json_token(text) > limits.text_length)
        throw FormatError(name + ": a text or number of more than " +
                          std::to_string(limits.text_length) + " bytes");
    try {
        return Json::parse(text.begin(), text.end(), check);
    } catch (const Json::parse_error& error) {
        throw FormatError(name +
                          " is not JSON: " + (text.empty() ? "it is empty" : "mistake at byte ") +
                          (text.empty() ? "" : std::to_string(error.byte)) + " of " +
                          std::to_string(text.size()));
    } catch (const Json::exception&) {  // a number beyond the range of double
        throw FormatError(name + " is not JSON: it contains a number that is out of range");
    }
}

// Reads a JSON file. Throws IoError when it cannot be opened, FormatError as parse_json.
inline Json read_json(const std::filesystem::path& path, const JsonLimits& limits = {}) {
    return parse_json(read_file(path, limits.file_size), path.string(), limits);
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
