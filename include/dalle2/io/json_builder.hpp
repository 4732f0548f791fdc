// Makes a JSON document of a parser's events, strictly: a limit on depth and memory, no key twice.
// (The library's own callbacks look through the whole list around an object each time one ends.)
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <dalle2/core/error.hpp>

namespace dalle2 {

struct JsonLimits {
    std::uint64_t file_size = 64u << 20;
    std::size_t depth = 64;
    std::size_t text_length = 1u << 22;  // of one text or number
    // What the parsed values may take beyond the size of the file, about.
    std::size_t memory = 40u << 20;
};

namespace detail {

// The length of the longest text (between its quotes), number or word in JSON, with the blanks
// around it: the parser holds copies of such a piece.
inline std::size_t longest_json_token(std::string_view text) {
    std::size_t longest = 0, length = 0;
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quoted ? c == '"' : std::string_view("\",:[]{}").find(c) != text.npos) {
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

// Calls `events` for what stands in the text, one after the other. All parsing goes through here,
// and through virtual functions, so that the parser is compiled once. (The library's sax_parse does
// the same, but takes the readers of five binary formats along: a second of every compilation.)
inline void parse_json_events(std::string_view text, nlohmann::json::json_sax_t& events) {
    auto input = nlohmann::detail::input_adapter(text.begin(), text.end());
    nlohmann::detail::parser<nlohmann::json, decltype(input)>(std::move(input)).sax_parse(&events);
}

// Receives the events of parse_json_events. Throws FormatError, in which `name` stands.
class JsonBuilder final : public nlohmann::json::json_sax_t {
public:
    using Json = nlohmann::json;

    JsonBuilder(const std::string& name, std::size_t text_size, const JsonLimits& limits)
        : name_(name), text_size_(text_size), limits_(limits) {}

    Json take() { return std::move(root_); }

    bool null() override { return add(nullptr); }
    bool boolean(bool value) override { return add(value); }
    bool number_integer(std::int64_t value) override { return add(value); }
    bool number_unsigned(std::uint64_t value) override { return add(value); }
    bool number_float(double value, const std::string&) override { return add(value); }
    bool string(std::string& value) override {
        count(bytes_per_text + value.size());
        return add(std::move(value));
    }
    bool binary(Json::binary_t&) override { return false; }  // not in JSON
    bool start_object(std::size_t) override { return start(Json::object()); }
    bool start_array(std::size_t) override { return start(Json::array()); }
    bool end_object() override { return end(); }
    bool end_array() override { return end(); }
    bool key(std::string& key) override {
        count(bytes_per_key + key.size());
        auto& object = open_.back()->get_ref<Json::object_t&>();
        const auto [place, is_new] = object.emplace(std::move(key), nullptr);
        if (!is_new)
            fail("the key " + Json(place->first.substr(0, 80)).dump(-1, ' ', true, replace) +
                 " occurs twice");
        value_ = &place->second;
        return true;
    }
    bool parse_error(std::size_t place, const std::string&,
                     const nlohmann::detail::exception& e) override {
        constexpr int out_of_range = 406;
        if (e.id == out_of_range)
            throw FormatError(name_ + " is not JSON: it contains a number that is out of range");
        throw FormatError(name_ + " is not JSON: mistake at byte " + std::to_string(place) +
                          " of " + std::to_string(text_size_));
    }

private:
    // What the allocator gives for a node of an object's tree with its key, for a value while its
    // list grows, and for a text, list or object of its own.
    static constexpr std::size_t bytes_per_key = 112, bytes_per_value = 48, bytes_per_text = 48,
                                 bytes_per_container = 64;
    static constexpr auto replace = Json::error_handler_t::replace;

    [[noreturn]] void fail(const std::string& what) const {
        throw FormatError(name_ + ": " + what);
    }
    void count(std::size_t bytes) {
        memory_ += bytes;
        if (memory_ > limits_.memory + text_size_)
            fail("too many values for a file of " + std::to_string(text_size_) + " bytes");
    }
    // Where the next value belongs.
    Json& place() {
        count(bytes_per_value);
        if (open_.empty()) return root_;
        if (open_.back()->is_object()) return *value_;
        return open_.back()->get_ref<Json::array_t&>().emplace_back();
    }
    template <class Value>
    bool add(Value&& value) {
        place() = std::forward<Value>(value);
        return true;
    }
    bool start(Json container) {
        if (open_.size() == limits_.depth)
            fail("nested more than " + std::to_string(limits_.depth) + " deep");
        count(bytes_per_container);
        Json& opened = place();
        opened = std::move(container);
        open_.push_back(&opened);
        return true;
    }
    bool end() {
        open_.pop_back();
        return true;
    }

    const std::string& name_;
    std::size_t text_size_;
    const JsonLimits& limits_;
    Json root_;
    Json* value_ = nullptr;    // of the last key
    std::vector<Json*> open_;  // the lists and objects around the current place
    std::size_t memory_ = 0;
};

}  // namespace detail

}  // namespace dalle2
