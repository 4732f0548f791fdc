// The files of a CLIP tokenizer: the folder that transformers reads and writes, and OpenAI's list.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/atomic_file.hpp>
#include <dalle2/io/file.hpp>
#include <dalle2/io/gzip.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/text/byte_pair_encoding.hpp>
#include <dalle2/text/clip_tokenizer.hpp>
#include <dalle2/text/special_tokens.hpp>
#include <dalle2/text/tokenizer_json.hpp>
#include <dalle2/text/tokenizer_settings.hpp>

namespace dalle2 {

namespace detail {

// CLIP's tokenizers read this many merges at most; OpenAI's file has more.
inline constexpr std::size_t most_clip_merges = 49152 - 256 - 2;
// OpenAI's file has 1.4 MB packed, merges.txt half a megabyte.
inline constexpr std::uint64_t most_merge_bytes = 16u << 20;

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
        ++number;
        if (line.ends_with('\r')) line.remove_suffix(1);
        const std::string place = where + ", line " + std::to_string(number);
        if (number == 1) {
            // The reference passes over whatever stands here: of a file without the line it would
            // lose the first pair.
            const std::size_t version = line.find("#version");
            if (version == std::string_view::npos ||
                (line.find(": ", version) != std::string_view::npos &&
                 !line.substr(version).starts_with("#version: 0.2")))
                throw FormatError(place + ": \"" + repaired_utf8(line.substr(0, 60)) +
                                  "\"; expected #version: 0.2");
            continue;
        }
        if (line.empty() && text.empty()) break;
        merges.push_back(parse_merge(line, place));
    }
    return merges;
}

// Gives the added tokens their numbers: those of the vocabulary, or the ones that follow it.
inline void append_added(BpeVocabulary& vocabulary, const AddedTokens& added,
                         const std::string& where) {
    for (const auto& [id, token] : added) {
        const auto count = static_cast<std::int64_t>(vocabulary.tokens.size());
        const std::string what = where + ": the added token " + shown(token.content) +
                                 " has the number " + std::to_string(id);
        if (id > count)
            throw ConfigError(what + "; expected at most " + std::to_string(count) +
                              ", the first that is free");
        if (id == count)
            vocabulary.tokens.push_back(token.content);
        else if (vocabulary.tokens[static_cast<std::size_t>(id)] != token.content)
            throw ConfigError(what + ", which is that of " +
                              shown(vocabulary.tokens[static_cast<std::size_t>(id)]));
    }
}

}  // namespace detail

// Throws IoError when a file is missing, FormatError or ConfigError when one is wrong.
inline ClipTokenizer ClipTokenizer::from_directory(const std::filesystem::path& directory,
                                                   std::optional<TokenizerBehaviour> behaviour) {
    std::error_code ignored;
    const auto there = [&](const char* name) { return detail::has_entry(directory / name); };
    if (!std::filesystem::is_directory(directory, ignored))
        throw IoError("no tokenizer at " + directory.string() +
                      "; expected a folder with vocab.json and merges.txt");
    if (!behaviour) behaviour = detail::behaviour_in_pipeline(directory);
    if (!behaviour) behaviour = TokenizerBehaviour::fast;
    const std::string where = directory.string();
    const detail::TokenizerSettings settings(directory);
    // transformers' fast class reads tokenizer.json where there is one, its slow class never.
    if (there("tokenizer.json") && (*behaviour == TokenizerBehaviour::fast ||
                                    (!there("vocab.json") && !there("merges.txt")))) {
        detail::TokenizerJson file = detail::read_tokenizer_json(directory / "tokenizer.json");
        detail::append_added(file.vocabulary, file.added, where);
        detail::append_added(file.vocabulary, settings.added(), where);
        ClipTokenizerOptions options = settings.options(*behaviour, &file);
        // The same token may be named twice, with other flags: the first counts.
        std::vector<SpecialToken> added;
        for (const auto& [id, token] : file.added) added.push_back(token);
        options.others.insert(options.others.begin(), added.begin(), added.end());
        return ClipTokenizer(std::move(file.vocabulary), std::move(options), where);
    }
    const std::filesystem::path vocabulary_path = directory / "vocab.json";
    const std::filesystem::path merges_path = directory / "merges.txt";
    BpeVocabulary vocabulary;
    vocabulary.tokens = detail::read_vocabulary(detail::read_vocabulary_json(vocabulary_path),
                                                vocabulary_path.string());
    vocabulary.merges = detail::parse_merges(read_file(merges_path, detail::most_merge_bytes),
                                             merges_path.string(), detail::most_clip_merges);
    detail::append_added(vocabulary, settings.added(), where);
    return ClipTokenizer(std::move(vocabulary), settings.options(*behaviour, nullptr), where);
}

inline ClipTokenizer ClipTokenizer::from_openai_file(const std::filesystem::path& path,
                                                     ClipTokenizerOptions options) {
    BpeVocabulary vocabulary;
    vocabulary.merges =
        detail::parse_merges(gunzip(read_file(path, detail::most_merge_bytes), path.string()),
                             path.string(), detail::most_clip_merges);
    vocabulary.tokens = byte_tokens();
    for (const auto& [left, right] : vocabulary.merges) vocabulary.tokens.push_back(left + right);
    vocabulary.tokens.push_back(options.start.content);
    vocabulary.tokens.push_back(options.end.content);
    return ClipTokenizer(std::move(vocabulary), std::move(options), path.string());
}

// Throws as from_directory.
inline ClipTokenizer ClipTokenizer::from_path(const std::filesystem::path& path,
                                              std::optional<TokenizerBehaviour> behaviour) {
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) {
        for (const std::filesystem::path& folder : {path, path / "tokenizer"})
            for (const char* name : {"vocab.json", "merges.txt", "tokenizer.json"})
                if (detail::has_entry(folder / name)) return from_directory(folder, behaviour);
        throw IoError("no tokenizer in " + path.string() +
                      "; expected vocab.json and merges.txt, or tokenizer.json, there or in its "
                      "folder tokenizer");
    }
    ClipTokenizerOptions options;
    options.behaviour = behaviour.value_or(TokenizerBehaviour::fast);
    const std::string begin = read_file(path, detail::most_merge_bytes).substr(0, 2);
    if (begin == "\x1F\x8B") return from_openai_file(path, options);
    if (!begin.starts_with('{'))
        throw FormatError(path.string() +
                          " is not a tokenizer; expected a folder, a tokenizer.json or OpenAI's "
                          "bpe_simple_vocab_16e6.txt.gz");
    detail::TokenizerJson file = detail::read_tokenizer_json(path);
    detail::append_added(file.vocabulary, file.added, path.string());
    for (const auto& [id, token] : file.added) options.others.push_back(token);
    options.start = file.start;
    options.end = file.end;
    options.pad = file.pad.value_or(file.end);
    options.max_length = file.max_length.value_or(options.max_length);
    return ClipTokenizer(std::move(file.vocabulary), std::move(options), path.string());
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
        OrderedJson json;
        put(json, "content", token.content);
        put(json, "lstrip", false);
        put(json, "normalized", token.normalized);
        put(json, "rstrip", false);
        put(json, "single_word", false);
        return json;
    };
    OrderedJson map;
    put(map, "bos_token", object(options_.start));
    put(map, "eos_token", object(options_.end));
    put(map, "pad_token", object(options_.pad));
    put(map, "unk_token", object(options_.end));
    OrderedJson added = OrderedJson::object(), more = OrderedJson::array();
    for (const SpecialToken& token : options_.others) {
        if (token.decoded)
            put(added, token.content, encoding_.id(token.content));
        else
            more.push_back(object(token));
    }
    if (!more.empty()) put(map, "additional_special_tokens", std::move(more));
    write_json(directory / "special_tokens_map.json", map);
    if (!added.empty()) write_json(directory / "added_tokens.json", added);
    OrderedJson config;
    put(config, "tokenizer_class", "CLIPTokenizer");
    put(config, "bos_token", options_.start.content);
    put(config, "eos_token", options_.end.content);
    put(config, "pad_token", options_.pad.content);
    put(config, "unk_token", options_.end.content);
    put(config, "add_prefix_space", false);
    put(config, "do_lower_case", true);
    put(config, "errors", "replace");
    put(config, "model_max_length", options_.max_length);
    write_json(directory / "tokenizer_config.json", config);
}

}  // namespace dalle2
