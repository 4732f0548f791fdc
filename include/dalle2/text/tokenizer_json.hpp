// tokenizer.json, the file of Hugging Face's tokenizers library. It can describe many kinds of
// tokenizers; one that is not CLIP's is refused with the name of the key that says so.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/file.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/io/utf8.hpp>
#include <dalle2/text/byte_pair_encoding.hpp>
#include <dalle2/text/special_tokens.hpp>

namespace dalle2::detail {

// The files of CLIP's vocabulary have 1 to 4 MB and 100,000 to 250,000 commas, colons and brackets.
// A limit on these bounds the memory for what is parsed, some 100 bytes for each.
inline Json read_vocabulary_json(const std::filesystem::path& path) {
    constexpr std::uint64_t most_bytes = 16u << 20;
    constexpr std::ptrdiff_t most_values = 500'000;
    const std::string text = read_file(path, most_bytes);
    const auto values = std::count_if(text.begin(), text.end(), [](char c) {
        return c == ',' || c == ':' || c == '[' || c == '{';
    });
    if (values > most_values)
        throw FormatError(path.string() + " has " + std::to_string(values) +
                          " commas, colons and brackets; expected at most " +
                          std::to_string(most_values) + " of a vocabulary");
    return parse_json(text, path.string(), {.depth = 16});
}

// By id.
using AddedTokens = std::map<std::int64_t, SpecialToken>;

inline std::string shown(const Json& json) {
    return repaired_utf8(json.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 60));
}

// Throws ConfigError unless `found` is what `scheme` says: the same value, "anything", an object
// {"any": [...]} for one of several values, with "or" for another scheme. Null may be left out.
inline void check_scheme(const Json& found, const Json& scheme, const std::string& where) {
    const auto fail = [&](const std::string& expected) {
        throw ConfigError(where + " is " + shown(found) + "; expected " + expected);
    };
    if (scheme.is_string() && scheme.get_ref<const std::string&>() == "anything") return;
    if (const Json& any = value_at(scheme, "any"); any.is_array()) {
        for (const Json& value : any)
            if (value == found) return;
        const Json& other = value_at(scheme, "or");
        if (other.is_null()) fail("one of " + any.dump());
        check_scheme(found, other, where);
    } else if (scheme.is_object()) {
        if (!found.is_object()) fail("an object");
        const Json absent;
        for (const auto& [key, value] : scheme.items())
            check_scheme(found.contains(key) ? found[key] : absent, value, where + "." + key);
        for (const auto& [key, value] : found.items())
            if (!scheme.contains(key))
                throw ConfigError(where + " has the key \"" + repaired_utf8(key.substr(0, 60)) +
                                  "\", which is not supported");
    } else if (scheme.is_array()) {
        if (!found.is_array() || found.size() != scheme.size())
            fail("a list of " + std::to_string(scheme.size()));
        for (std::size_t i = 0; i < scheme.size(); ++i)
            check_scheme(found[i], scheme[i], where + "[" + std::to_string(i) + "]");
    } else if (found != scheme) {
        fail(scheme.dump());
    }
}

// The tokens of an object of tokens and numbers, by number.
inline std::vector<std::string> read_vocabulary(const Json& json, const std::string& where) {
    if (!json.is_object()) throw FormatError(where + ": expected an object of tokens and numbers");
    std::vector<std::string> tokens(json.size());
    std::vector<bool> seen(json.size());
    for (const auto& [token, id] : json.items()) {
        if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= tokens.size() ||
            seen[id.get<std::size_t>()])
            throw FormatError(where + ": the token \"" + token.substr(0, 60) +
                              "\" has the number " + shown(id) + "; expected each of 0 to " +
                              std::to_string(tokens.size() - 1) + " once");
        seen[id.get<std::size_t>()] = true;
        tokens[id.get<std::size_t>()] = token;
    }
    return tokens;
}

// "left right" → the two. Throws FormatError when there are not two, with one space between them.
inline std::pair<std::string, std::string> parse_merge(std::string_view line,
                                                       const std::string& where) {
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos || space == 0 || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string_view::npos)
        throw FormatError(where + ": \"" + repaired_utf8(line.substr(0, 60)) +
                          "\"; expected two tokens separated by a space");
    return {std::string(line.substr(0, space)), std::string(line.substr(space + 1))};
}

// Reads one special token from a file's value: a text, or an object with content and flags.
// tokenizers takes a special token that does not say otherwise for not normalized.
inline SpecialToken read_special_token(const Json& json, const std::string& where,
                                       bool text_is_normalized, bool special_by_default) {
    if (json.is_string()) return {json.get<std::string>(), text_is_normalized};
    if (!value_at(json, "content").is_string())
        throw ConfigError(where + " is " + shown(json) +
                          "; expected a text or an object with \"content\"");
    for (const char* flag : {"lstrip", "rstrip", "single_word"})
        if (json.contains(flag) && json[flag] != false)
            throw ConfigError(where + ": " + flag + " is " + shown(json[flag]) +
                              "; only false is supported");
    const auto flag = [&](const char* key, bool by_default) {
        if (!json.contains(key)) return by_default;
        if (!json[key].is_boolean())
            throw ConfigError(where + ": " + key + " is " + shown(json[key]) +
                              "; expected true or false");
        return json[key].get<bool>();
    };
    const bool special = flag("special", special_by_default);
    return {value_at(json, "content").get<std::string>(), flag("normalized", !special), !special};
}

// The added_tokens of a tokenizer.json.
inline AddedTokens read_added_tokens(const Json& json, const std::string& where) {
    AddedTokens added;
    if (!json.is_array()) throw ConfigError(where + " is " + shown(json) + "; expected a list");
    for (const Json& value : json) {
        SpecialToken token = read_special_token(value, where, true, false);
        const Json& id = value_at(value, "id");
        if (!id.is_number_unsigned() ||
            !added.emplace(id.get<std::int64_t>(), std::move(token)).second)
            throw ConfigError(where + ": " + shown(value) +
                              "; expected an object with an \"id\" of its own");
    }
    return added;
}

struct TokenizerJson {
    BpeVocabulary vocabulary;
    AddedTokens added;
    SpecialToken start, end;
    std::optional<SpecialToken> pad;
    std::optional<std::int64_t> max_length;
};

// What tokenizer.json must say of each key for the tokenizer to be CLIP's. What the expression of
// ByteLevel would split has been split before; for the same reason the words <|startoftext|> and
// <|endoftext|>, with which some files begin the first expression, change nothing.
inline constexpr std::string_view clip_scheme = R"json({
    "version": {"any": ["1.0", null]},
    "truncation": {"any": [null], "or": {
        "direction": {"any": ["Right", null]}, "max_length": "anything", "strategy": "anything",
        "stride": {"any": [0, null]}}},
    "padding": {"any": [null], "or": {
        "strategy": "anything", "direction": {"any": ["Right", null]},
        "pad_to_multiple_of": {"any": [null, 0]}, "pad_id": "anything", "pad_type_id": "anything",
        "pad_token": "anything"}},
    "added_tokens": "anything",
    "normalizer": {"type": "Sequence", "normalizers": [
        {"type": "NFC"},
        {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
        {"type": "Lowercase"}]},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "behavior": "Removed", "invert": true, "pattern": {"Regex": {"any": [
            "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+",
            "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"
        ]}}},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": "anything",
         "use_regex": {"any": [true, null]}}]},
    "post_processor": {
        "type": "RobertaProcessing", "sep": ["anything", "anything"],
        "cls": ["anything", "anything"], "trim_offsets": "anything",
        "add_prefix_space": "anything"},
    "decoder": {"any": [null], "or": {
        "type": "ByteLevel", "add_prefix_space": "anything", "trim_offsets": "anything",
        "use_regex": "anything"}},
    "model": {
        "type": {"any": ["BPE", null]}, "dropout": null, "unk_token": "anything",
        "continuing_subword_prefix": {"any": ["", null]}, "end_of_word_suffix": "</w>",
        "fuse_unk": {"any": [false, null]}, "byte_fallback": {"any": [false, null]},
        "ignore_merges": {"any": [false, null]}, "vocab": "anything", "merges": "anything"}
})json";

// The merges of a model: texts "left right", or lists of two texts since tokenizers 0.20.
inline std::vector<std::pair<std::string, std::string>> read_merges(const Json& json,
                                                                    const std::string& where) {
    if (!json.is_array()) throw FormatError(where + " is " + shown(json) + "; expected a list");
    std::vector<std::pair<std::string, std::string>> merges;
    merges.reserve(json.size());
    for (const Json& merge : json)
        if (merge.is_string())
            merges.push_back(parse_merge(merge.get_ref<const std::string&>(), where));
        else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
                 merge[1].is_string())
            merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
        else
            throw FormatError(where + ": " + shown(merge) +
                              "; expected two tokens, as a text or as a list");
    return merges;
}

// Throws FormatError for a file that is not JSON or a vocabulary that is none, ConfigError for a
// tokenizer that is not CLIP's, IoError when it cannot be read.
inline TokenizerJson read_tokenizer_json(const std::filesystem::path& path) {
    const std::string where = path.string();
    const Json json = read_vocabulary_json(path);
    check_scheme(json, parse_json(clip_scheme, "the scheme of CLIP's tokenizer"),
                 where + ", tokenizer");
    TokenizerJson result;
    const Json& model = value_at(json, "model");
    result.vocabulary.tokens = read_vocabulary(value_at(model, "vocab"), where + ", model.vocab");
    result.vocabulary.merges = read_merges(value_at(model, "merges"), where + ", model.merges");
    result.added = read_added_tokens(value_at(json, "added_tokens"), where + ", added_tokens");
    const auto flagged = [&](const std::string& content) {
        for (const auto& [id, token] : result.added)
            if (token.content == content) return SpecialToken{content, token.normalized};
        return SpecialToken{content, false};
    };
    const auto frame = [&](const char* key) {
        const Json& token = value_at(value_at(json, "post_processor"), key)[0];
        if (!token.is_string())
            throw ConfigError(where + ": post_processor." + key + " begins with " + shown(token) +
                              "; expected a text");
        return flagged(token.get<std::string>());
    };
    result.start = frame("cls");
    result.end = frame("sep");
    if (const Json& padding = value_at(json, "padding"); padding.is_object()) {
        const Json& pad = value_at(padding, "pad_token");
        if (!pad.is_string())
            throw ConfigError(where + ": padding.pad_token is " + shown(pad) + "; expected a text");
        result.pad = flagged(pad.get<std::string>());
    }
    if (const Json& truncation = value_at(json, "truncation"); truncation.is_object()) {
        const Json& length = value_at(truncation, "max_length");
        if (!length.is_number_integer())
            throw ConfigError(where + ": truncation.max_length is " + shown(length) +
                              "; expected a whole number");
        result.max_length = length.get<std::int64_t>();
    }
    return result;
}

}  // namespace dalle2::detail
