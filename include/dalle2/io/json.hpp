// JSON files, read strictly: a limit on size and depth, no key twice.
#pragma once

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
};

// Parses JSON. Throws FormatError, naming `name` and the place, for anything that is not JSON, a
// key that occurs twice in an object, or lists and objects nested deeper than the limit.
inline Json parse_json(std::string_view text, const std::string& name,
                       const JsonLimits& limits = {}) {
    std::vector<std::set<std::string>> keys;  // of the objects around the current place
    const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
        if (depth > limits.depth)
            throw FormatError(name + ": nested more than " + std::to_string(limits.depth) +
                              " deep");
        if (event == Json::parse_event_t::object_start) keys.emplace_back();
        if (event == Json::parse_event_t::object_end) keys.pop_back();
        if (event == Json::parse_event_t::key &&
            !keys.back().insert(parsed.get_ref<const std::string&>()).second)
            throw FormatError(name + ": the key " + parsed.dump() + " occurs twice");
        return true;
    };
    if (text.find('\0') != std::string_view::npos)
        throw FormatError(name + " is not JSON: it contains a zero byte");
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
