// The files of a CLIP tokenizer: the folder that transformers reads and writes, and OpenAI's list.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/gzip.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/text/byte_pair_encoding.hpp>
#include <dalle2/text/clip_tokenizer.hpp>

namespace dalle2 {

namespace detail {

// The pairs of merges.txt: a first line that is passed over, then "left right" on each line.
// `most` is the number that CLIP's tokenizers read of a longer file.
inline std::vector<std::pair<std::string, std::string>> parse_merges(std::string_view text,
                                                                     const std::string& where,
                                                                     std::size_t most) {
    std::vector<std::pair<std::string, std::string>> merges;
    std::size_t number = 0;
    while (!text.empty() && merges.size() < most) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (++number == 1) continue;
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.empty() && text.empty()) break;
        const std::size_t space = line.find(' ');
        if (space == std::string_view::npos || space == 0 || space + 1 == line.size() ||
            line.find(' ', space + 1) != std::string_view::npos)
            throw FormatError(where + ", line " + std::to_string(number) + ": \"" +
                              repaired_utf8(line.substr(0, 60)) +
                              "\"; expected two tokens separated by a space");
        merges.emplace_back(line.substr(0, space), line.substr(space + 1));
    }
    return merges;
}

// CLIP's tokenizers read this many merges at most; OpenAI's file has more.
inline constexpr std::size_t most_clip_merges = 49152 - 256 - 2;

inline std::vector<std::string> read_vocabulary(const std::filesystem::path& path) {
    const std::string where = path.string();
    const Json json = read_json(path);
    if (!json.is_object()) throw FormatError(where + ": expected an object of tokens and numbers");
    std::vector<std::string> tokens(json.size());
    std::vector<bool> seen(json.size());
    for (const auto& [token, id] : json.items()) {
        if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= tokens.size() ||
            seen[id.get<std::size_t>()])
            throw FormatError(where + ": the token \"" + token + "\" has the number " + id.dump() +
                              "; expected each of 0 to " + std::to_string(tokens.size() - 1) +
                              " once");
        seen[id.get<std::size_t>()] = true;
        tokens[id.get<std::size_t>()] = token;
    }
    return tokens;
}

// Reads one special token from a file's value: a text, or an object with content and flags.
inline void read_special_token(const Json& json, const std::string& where,
                               bool normalized_by_default, SpecialToken& token) {
    if (json.is_string()) {
        token = {json.get<std::string>(), normalized_by_default};
        return;
    }
    if (!json.is_object() || !json.contains("content") || !json["content"].is_string())
        throw ConfigError(where + " is " + json.dump().substr(0, 60) +
                          "; expected a text or an object with \"content\"");
    token = {json["content"].get<std::string>(), true};
    for (const auto& [key, value] : json.items()) {
        if (key == "normalized" && value.is_boolean()) token.normalized = value.get<bool>();
        const bool flag = key == "lstrip" || key == "rstrip" || key == "single_word";
        if (flag && value != false)
            throw ConfigError(where + ": " + key + " is " + value.dump() +
                              "; only false is supported");
    }
}

inline ClipTokenizerOptions read_tokenizer_options(const std::filesystem::path& directory) {
    ClipTokenizerOptions options;
    std::map<std::string, bool> normalized;  // from added_tokens_decoder: it knows best
    for (const char* name : {"special_tokens_map.json", "tokenizer_config.json"}) {
        const std::filesystem::path path = directory / name;
        if (!std::filesystem::exists(path)) continue;
        const Json json = read_json(path);
        if (!json.is_object()) throw FormatError(path.string() + ": expected an object");
        const auto read = [&](const char* key, bool by_default, SpecialToken& token) {
            const auto found = json.find(key);
            if (found != json.end() && !found->is_null())
                read_special_token(*found, path.string() + ", key " + key, by_default, token);
        };
        read("bos_token", true, options.start);
        read("eos_token", true, options.end);
        read("pad_token", false, options.pad);
        const auto length = json.find("model_max_length");
        // Absent is written as 10³⁰ by transformers.
        if (length != json.end() && !(length->is_number() && length->get<double>() >= 1e18)) {
            if (!length->is_number_integer())
                throw ConfigError(path.string() + ": model_max_length is " + length->dump() +
                                  "; expected a whole number");
            options.max_length = length->get<std::int64_t>();
        }
        const auto added = json.find("added_tokens_decoder");
        if (added != json.end() && added->is_object())
            for (const auto& [id, value] : added->items()) {
                SpecialToken token;
                read_special_token(value, path.string() + ", added_tokens_decoder " + id, true,
                                   token);
                normalized[token.content] = token.normalized;
            }
    }
    for (SpecialToken* token : {&options.start, &options.end, &options.pad})
        if (const auto found = normalized.find(token->content); found != normalized.end())
            token->normalized = found->second;
    return options;
}

}  // namespace detail

// Throws IoError when a file is missing, FormatError or ConfigError when one is wrong.
inline ClipTokenizer ClipTokenizer::from_directory(const std::filesystem::path& directory) {
    std::error_code ignored;
    if (!std::filesystem::is_directory(directory, ignored))
        throw IoError("no tokenizer at " + directory.string() +
                      "; expected a folder with vocab.json and merges.txt");
    BpeVocabulary vocabulary;
    vocabulary.tokens = detail::read_vocabulary(directory / "vocab.json");
    const std::filesystem::path merges = directory / "merges.txt";
    vocabulary.merges =
        detail::parse_merges(read_file(merges), merges.string(), detail::most_clip_merges);
    return ClipTokenizer(std::move(vocabulary), detail::read_tokenizer_options(directory),
                         directory.string());
}

inline ClipTokenizer ClipTokenizer::from_openai_file(const std::filesystem::path& path,
                                                     ClipTokenizerOptions options) {
    BpeVocabulary vocabulary;
    vocabulary.merges = detail::parse_merges(gunzip(read_file(path), path.string()), path.string(),
                                             detail::most_clip_merges);
    vocabulary.tokens = byte_tokens();
    for (const auto& [left, right] : vocabulary.merges) vocabulary.tokens.push_back(left + right);
    vocabulary.tokens.push_back(options.start.content);
    vocabulary.tokens.push_back(options.end.content);
    return ClipTokenizer(std::move(vocabulary), std::move(options), path.string());
}

// Throws IoError when a file cannot be written.
inline void ClipTokenizer::save(const std::filesystem::path& directory) const {
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error)
        throw IoError("cannot make the folder " + directory.string() + ": " + error.message());
    // Token by token: a document of tens of thousands of keys in their order would be slow to
    // build.
    std::string ids = "{";
    for (std::int32_t id = 0; id < vocabulary_size(); ++id)
        ids += (id ? "," : "") + Json(token(id)).dump() + ":" + std::to_string(id);
    write_file(directory / "vocab.json", ids + "}");
    std::string merges = "#version: 0.2\n";
    for (const auto& [left, right] : vocabulary().merges) merges += left + " " + right + "\n";
    write_file(directory / "merges.txt", merges);

    const auto object = [](const SpecialToken& token) {
        return OrderedJson{{"content", token.content},
                           {"lstrip", false},
                           {"normalized", token.normalized},
                           {"rstrip", false},
                           {"single_word", false}};
    };
    OrderedJson map;
    map["bos_token"] = object(options_.start);
    map["eos_token"] = object(options_.end);
    map["pad_token"] = object(options_.pad);
    map["unk_token"] = object(options_.end);
    write_json(directory / "special_tokens_map.json", map);
    OrderedJson config;
    config["tokenizer_class"] = "CLIPTokenizer";
    config["bos_token"] = options_.start.content;
    config["eos_token"] = options_.end.content;
    config["pad_token"] = options_.pad.content;
    config["unk_token"] = options_.end.content;
    config["add_prefix_space"] = false;
    config["do_lower_case"] = true;
    config["errors"] = "replace";
    config["model_max_length"] = options_.max_length;
    write_json(directory / "tokenizer_config.json", config);
}

}  // namespace dalle2
