// What the small files of a tokenizer's folder say: special and added tokens, the longest prompt,
// and which of transformers' classes the pipeline around the folder uses.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include <dalle2/core/error.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/text/special_tokens.hpp>
#include <dalle2/text/tokenizer_json.hpp>
#include <dalle2/text/tokenizer_options.hpp>

namespace dalle2::detail {

// Is there an entry of this name? A link that leads nowhere is one, so that reading it says why.
inline bool has_entry(const std::filesystem::path& path) {
    std::error_code error;
    return std::filesystem::exists(std::filesystem::symlink_status(path, error));
}

// A model's folder says which class its pipeline loads a part with: model_index.json beside the
// part's folder. Nothing when there is none, or none of that name in it.
inline std::optional<TokenizerBehaviour> behaviour_in_pipeline(
    const std::filesystem::path& directory) {
    std::error_code error;
    std::filesystem::path folder = std::filesystem::absolute(directory, error).lexically_normal();
    if (!folder.has_filename()) folder = folder.parent_path();
    const std::filesystem::path index = folder.parent_path() / "model_index.json";
    if (error || !has_entry(index)) return {};
    const Json json = read_json(index);
    const std::string key = folder.filename().string();
    if (!json.is_object() || !json.contains(key)) return {};
    const Json& part = json[key];
    const auto is = [&](const char* name) {
        return part == Json(std::vector<std::string>{"transformers", name});
    };
    if (is("CLIPTokenizer")) return TokenizerBehaviour::slow;
    if (is("CLIPTokenizerFast")) return TokenizerBehaviour::fast;
    throw ConfigError(index.string() + ": " + key + " is " + shown(part) +
                      "; expected CLIPTokenizer or CLIPTokenizerFast of transformers");
}

// What the small files beside a vocabulary say. As transformers 4.49 reads them: where
// tokenizer_config.json has added_tokens_decoder, it alone counts; else special_tokens_map.json
// goes before it, and added_tokens.json and tokenizer.json add tokens.
class TokenizerSettings {
public:
    explicit TokenizerSettings(const std::filesystem::path& directory) : directory_(directory) {
        const Json config = read_object("tokenizer_config.json");
        const std::string where = path("tokenizer_config.json");
        check_supported(config, where);
        read_special_tokens(config, where, false);
        read_max_length(config, where);
        if (const Json& added = value_at(config, "added_tokens_decoder"); added.is_object()) {
            for (const auto& [id, value] : added.items())
                add(id,
                    read_special_token(value, where + ", added_tokens_decoder " + id, true, false));
            return;
        }
        read_special_tokens(read_object("special_tokens_map.json"), path("special_tokens_map.json"),
                            true);
        const Json tokens = read_object("added_tokens.json");
        for (const auto& [token, id] : tokens.items()) {
            const bool special = is_special(token);
            add(id.dump(), {token, !special, !special});
        }
        if (has_entry(directory_ / "tokenizer.json")) {
            const Json json = read_vocabulary_json(directory_ / "tokenizer.json");
            if (json.is_object() && json.contains(std::string("added_tokens")))
                for (auto& [id, token] : read_added_tokens(
                         value_at(json, "added_tokens"), path("tokenizer.json") + ", added_tokens"))
                    added_[id] = token;
        }
    }

    const AddedTokens& added() const { return added_; }

    // The options that the settings and a tokenizer.json, if that is used, give together.
    ClipTokenizerOptions options(TokenizerBehaviour behaviour, const TokenizerJson* file) const {
        ClipTokenizerOptions options;
        options.behaviour = behaviour;
        if (file) {
            options.start = file->start;
            options.end = file->end;
            if (file->max_length) options.max_length = *file->max_length;
        }
        if (max_length_) options.max_length = *max_length_;
        for (const auto& [key, token] : special_) {
            if (key == "bos_token" && !file)
                options.start = token;
            else if (key == "eos_token" && !file)
                options.end = token;
            else if (key == "pad_token")
                options.pad = token;
            else
                options.others.push_back(token);
        }
        for (const auto& [id, token] : added_) options.others.push_back(token);
        // What the lists of added tokens say of a token goes before what is said elsewhere.
        for (SpecialToken* token : {&options.start, &options.end, &options.pad})
            for (const AddedTokens* added : {file ? &file->added : &added_, &added_})
                if (const SpecialToken* known = find(*added, token->content)) {
                    *token = *known;
                    token->decoded = false;
                    break;
                }
        return options;
    }

private:
    std::string path(const char* name) const { return (directory_ / name).string(); }

    // An object without keys when there is no such file.
    Json read_object(const char* name) const {
        if (!has_entry(directory_ / name)) return Json::object();
        Json json = read_json(directory_ / name, {.file_size = 1u << 20, .depth = 16});
        if (!json.is_object()) throw FormatError(path(name) + ": expected an object");
        return json;
    }

    static void check_supported(const Json& config, const std::string& where) {
        const auto check = [&](const char* key, std::initializer_list<Json> supported) {
            if (!config.contains(key)) return;
            if (std::find(supported.begin(), supported.end(), config[key]) == supported.end())
                throw ConfigError(where + ": " + key + " is " + shown(config[key]) + "; expected " +
                                  supported.begin()->dump());
        };
        check("tokenizer_class", {"CLIPTokenizer", "CLIPTokenizerFast", nullptr});
        check("padding_side", {"right", nullptr});
        check("truncation_side", {"right", nullptr});
        check("split_special_tokens", {false, nullptr});
    }

    void read_special_tokens(const Json& json, const std::string& where, bool special) {
        // Texts become tokens of different kinds: start, end and unknown are normalized.
        for (const char* key : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                                "cls_token", "mask_token"}) {
            if (!json.contains(key) || json[key].is_null()) continue;
            const bool text_is_normalized =
                std::string_view("bos_token eos_token unk_token").find(key) !=
                std::string_view::npos;
            special_[key] =
                read_special_token(json[key], where + ", key " + key, text_is_normalized, special);
            special_[key].decoded = false;
        }
        const Json& more = value_at(json, "additional_special_tokens");
        if (!more.is_null() && !more.is_array())
            throw ConfigError(where + ": additional_special_tokens is " + shown(more) +
                              "; expected a list");
        for (const Json& value : more) {
            SpecialToken token = read_special_token(
                value, where + ", key additional_special_tokens", false, special);
            token.decoded = false;
            special_["additional " + token.content] = token;
        }
    }

    void read_max_length(const Json& config, const std::string& where) {
        const Json& length = value_at(config, "model_max_length");
        // Absent is written as 10³⁰ by transformers.
        if (length.is_null() || (length.is_number() && length.get<double>() >= 1e18)) return;
        if (!length.is_number_integer())
            throw ConfigError(where + ": model_max_length is " + shown(length) +
                              "; expected a whole number");
        max_length_ = length.get<std::int64_t>();
    }

    void add(const std::string& id, const SpecialToken& token) {
        std::int64_t number = -1;
        const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
        if (error != std::errc() || end != id.data() + id.size() || number < 0)
            throw ConfigError(directory_.string() + ": the added token " + shown(token.content) +
                              " has the number " + id.substr(0, 60) + "; expected a whole number");
        if (!added_.emplace(number, token).second)
            throw ConfigError(directory_.string() + ": two added tokens have the number " + id);
    }

    bool is_special(const std::string& content) const {
        return std::any_of(special_.begin(), special_.end(),
                           [&](const auto& entry) { return entry.second.content == content; });
    }

    static const SpecialToken* find(const AddedTokens& added, const std::string& content) {
        for (const auto& [id, token] : added)
            if (token.content == content) return &token;
        return nullptr;
    }

    std::filesystem::path directory_;
    std::map<std::string, SpecialToken> special_;  // by key; "additional …" the others
    AddedTokens added_;
    std::optional<std::int64_t> max_length_;
};

}  // namespace dalle2::detail
