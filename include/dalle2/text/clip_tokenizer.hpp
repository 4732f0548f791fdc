// CLIP's tokenizer: a prompt → the numbers that the text encoder reads, exactly as
// transformers 4.49 does it (with tokenizers 0.21 and Python 3.11). That library has two classes,
// which disagree:
//
//   fast  CLIPTokenizerFast, what its CLIPProcessor and AutoTokenizer load
//   slow  CLIPTokenizer without the package ftfy, what diffusers' UnCLIPPipeline loads. It drops
//         control and format characters (among them the joiners within 👩‍🚀), private ones
//         and those newer than Unicode 14, makes each Chinese character a word, and ends Greek
//         words with ς.
//
// tests/golden/check_tokenizer.py compares 30,440 strings: no token differs, in either class. On
// its 3000 prompts in English fast and slow agree; so they do on 95 % of its sentences in 82
// languages, on 36 % of its strings of emoji, on 8 % of random Unicode. Since a person compares
// with the pipeline that a model's files name, from_directory follows them: slow where
// model_index.json names CLIPTokenizer, fast where there is none.
//
// With ftfy installed, the slow class first mends what that takes for mistakes (don’t becomes
// don't, &amp; becomes &), drops fewer characters and splits no Chinese ones: 14,174 of the strings
// get other tokens, none of the English prompts, which are in ASCII but for accents. OpenAI's own
// code does this, too, and undoes HTML entities twice more. It is not offered here.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/utf8.hpp>
#include <dalle2/text/basic_tokenizer.hpp>
#include <dalle2/text/byte_pair_encoding.hpp>
#include <dalle2/text/special_tokens.hpp>
#include <dalle2/text/tokenizer_options.hpp>
#include <dalle2/text/unicode.hpp>
#include <dalle2/text/word_splitter.hpp>

namespace dalle2 {

// A prompt, ready for the text encoder.
struct Tokens {
    std::vector<std::int32_t> ids;   // start, the text, end, padding: as many as the maximum length
    std::vector<std::int32_t> mask;  // 1: start, text or end; 0: padding
    std::int64_t length = 0;         // how many ones
    bool truncated = false;
    std::string dropped;  // the words that did not fit, or not all of whose tokens did
};

class ClipTokenizer {
public:
    // Throws FormatError for a contradictory vocabulary, ConfigError for special tokens that are
    // not in it, too long or too many, or a length below 2.
    explicit ClipTokenizer(BpeVocabulary vocabulary, ClipTokenizerOptions options = {},
                           const std::string& where = "vocabulary")
        : encoding_(std::move(vocabulary), where), options_(std::move(options)) {
        if (options_.max_length < 2 || options_.max_length > 1'000'000)
            throw ConfigError(where + ": model_max_length is " +
                              std::to_string(options_.max_length) + "; expected 2 to 1000000");
        if (options_.others.size() > 10'000)
            throw ConfigError(where + ": " + std::to_string(options_.others.size()) +
                              " special tokens; expected at most 10000");
        for (const SpecialToken* token : {&options_.start, &options_.end, &options_.pad})
            add_special(*token, where);
        for (const SpecialToken& token : options_.others) add_special(token, where);
        start_ = encoding_.id(options_.start.content);
        end_ = encoding_.id(options_.end.content);
        pad_ = encoding_.id(options_.pad.content);
        bytes_of_character_.fill(-1);
        const auto characters = byte_characters();
        for (std::size_t byte = 0; byte < 256; ++byte)
            bytes_of_character_[characters[byte]] = static_cast<std::int16_t>(byte);
    }

    // These are defined in tokenizer_files.hpp.

    // Any of the below: a model's folder (with the files in it or in its tokenizer/), a
    // tokenizer.json, or OpenAI's list. `behaviour` goes before what the files say.
    static ClipTokenizer from_path(const std::filesystem::path& path,
                                   std::optional<TokenizerBehaviour> behaviour = {});
    // The tokenizer/ folder of a model: vocab.json and merges.txt or tokenizer.json, and what
    // else of transformers' files is there. It behaves as the class that model_index.json
    // beside the folder names; as the fast one if there is none.
    static ClipTokenizer from_directory(const std::filesystem::path& directory,
                                        std::optional<TokenizerBehaviour> behaviour = {});
    // OpenAI's bpe_simple_vocab_16e6.txt.gz.
    static ClipTokenizer from_openai_file(const std::filesystem::path& path,
                                          ClipTokenizerOptions options = {});
    // Writes a folder that from_directory and transformers read.
    void save(const std::filesystem::path& directory) const;

    const BpeVocabulary& vocabulary() const { return encoding_.vocabulary(); }
    const ClipTokenizerOptions& options() const { return options_; }
    std::int32_t vocabulary_size() const { return encoding_.size(); }
    std::int64_t max_length() const { return options_.max_length; }
    std::int32_t start_id() const { return start_; }
    std::int32_t end_id() const { return end_; }
    std::int32_t pad_id() const { return pad_; }

    // The tokens of a text of any length, without start and end. Bytes that are not UTF-8 count
    // as U+FFFD, as in Python's errors="replace". Time and memory grow with the length alone.
    std::vector<std::int32_t> encode(std::string_view text) const {
        std::vector<std::int32_t> ids;
        const std::u32string codes = decode_utf8(text);
        if (options_.behaviour == TokenizerBehaviour::slow) {
            raw_finder_.split(codes, ids,
                              [&](std::u32string_view part) { encode_slow(part, ids); });
            return ids;
        }
        const auto encode_words = [&](std::u32string_view part) {
            for_each_word(part, [&](std::u32string_view word) {
                encoding_.encode_word(encode_utf8(word), ids);
            });
        };
        raw_finder_.split(codes, ids, [&](std::u32string_view part) {
            normalized_finder_.split(fast_normalized(part), ids, encode_words);
        });
        return ids;
    }

    // A prompt as the text encoder takes it: start, text, end, then padding up to the maximum
    // length. What does not fit is dropped from the end of the text and named in the result.
    Tokens operator()(std::string_view text) const {
        std::vector<std::int32_t> ids = encode(text);
        const auto longest = static_cast<std::size_t>(options_.max_length);
        Tokens tokens;
        if (ids.size() > longest - 2) {
            tokens.truncated = true;
            tokens.dropped = decode({ids.begin() + begin_of_word(ids, longest - 2), ids.end()});
            ids.resize(longest - 2);
        }
        tokens.ids.reserve(longest);
        tokens.ids.push_back(start_);
        tokens.ids.insert(tokens.ids.end(), ids.begin(), ids.end());
        tokens.ids.push_back(end_);
        tokens.length = static_cast<std::int64_t>(tokens.ids.size());
        tokens.mask.assign(tokens.ids.size(), 1);
        tokens.mask.resize(longest, 0);
        tokens.ids.resize(longest, pad_);
        return tokens;
    }

    // The text of tokens: words separated by spaces, special tokens left out unless asked for.
    // Throws ConfigError for an id that is not in the vocabulary.
    std::string decode(const std::vector<std::int32_t>& ids, bool with_specials = false) const {
        std::string text;
        for (const std::int32_t id : ids) {
            const std::string& token = this->token(id);
            if (const auto special = specials_.find(id); special != specials_.end()) {
                if (with_specials || special->second) text += token;
                if (special->second) text += end_of_word;
                continue;
            }
            append_bytes(text, token);
        }
        std::string spaced;
        for (std::size_t begin = 0; begin < text.size();) {
            const std::size_t end = std::min(text.find(end_of_word, begin), text.size());
            spaced.append(text, begin, end - begin);
            if (end < text.size()) spaced += ' ';
            begin = end + end_of_word.size();
        }
        while (!spaced.empty() && spaced.back() == ' ') spaced.pop_back();
        spaced.erase(0, spaced.find_first_not_of(' '));
        return repaired_utf8(spaced);
    }

    // The tokens of a text as the vocabulary writes them, such as "apple</w>".
    std::vector<std::string> pieces(std::string_view text) const {
        std::vector<std::string> pieces;
        for (const std::int32_t id : encode(text)) pieces.push_back(token(id));
        return pieces;
    }

    // Throws ConfigError for an id that is not in the vocabulary.
    const std::string& token(std::int32_t id) const {
        if (id < 0 || id >= encoding_.size())
            throw ConfigError("no token " + std::to_string(id) + " in a vocabulary of " +
                              std::to_string(encoding_.size()));
        return encoding_.vocabulary().tokens[static_cast<std::size_t>(id)];
    }

private:
    void add_special(const SpecialToken& token, const std::string& where) {
        if (token.content.size() > 1000)
            throw ConfigError(where + ": a special token of " +
                              std::to_string(token.content.size()) +
                              " bytes; expected at most 1000");
        const std::int32_t id = encoding_.id(token.content);
        if (id < 0 || token.content.empty())
            throw ConfigError(where + ": the special token \"" + token.content +
                              "\" is not in the vocabulary");
        if (!specials_.emplace(id, token.decoded).second) return;
        const std::u32string content = decode_utf8(token.content);
        if (token.normalized && options_.behaviour == TokenizerBehaviour::fast)
            normalized_finder_.add({fast_normalized(content), id});
        else
            raw_finder_.add({content, id});
    }

    // A text as the fast tokenizer's normalizer leaves it.
    static std::u32string fast_normalized(std::u32string_view text) {
        std::u32string spaced;
        const std::u32string composed = normalized_nfc(text, [](char32_t code) {
            return detail::contains(detail::unknown_to_tokenizers_nfc, code);
        });
        spaced.reserve(composed.size());
        for (const char32_t code : composed)
            if (!is_white_space(code))
                spaced += code;
            else if (!spaced.ends_with(U' '))
                spaced += U' ';
        return lower_case(spaced);
    }

    // Appends the tokens that the slow tokenizer gives for a text between special tokens.
    void encode_slow(std::u32string_view text, std::vector<std::int32_t>& ids) const {
        const std::u32string words = basic_tokenized(text);
        for_each_slow_word(words, [&](std::u32string_view word) {
            const std::string bytes = encode_utf8(word);
            const auto& frame = detail::frame_words;
            if (std::find(frame.begin(), frame.end(), word) == frame.end()) {
                encoding_.encode_word(bytes, ids, BytePairEncoding::Order::rounds);
            } else {
                const std::int32_t id = encoding_.id(bytes);
                ids.push_back(id >= 0 ? id : end_);
            }
        });
    }

    // Where the word begins that has tokens on both sides of `place`; `place` if none has.
    std::ptrdiff_t begin_of_word(const std::vector<std::int32_t>& ids, std::size_t place) const {
        const auto ends = [&](std::int32_t id) {
            return specials_.contains(id) || token(id).ends_with(end_of_word);
        };
        while (place > 0 && !ends(ids[place - 1])) --place;
        return static_cast<std::ptrdiff_t>(place);
    }

    // Appends the bytes that a token's characters stand for.
    void append_bytes(std::string& text, const std::string& token) const {
        std::string bytes;
        for (const char32_t code : decode_utf8(token)) {
            if (code >= bytes_of_character_.size() || bytes_of_character_[code] < 0) {
                text += token;  // not made of bytes: it stands for itself
                return;
            }
            bytes += static_cast<char>(bytes_of_character_[code]);
        }
        text += bytes;
    }

    BytePairEncoding encoding_;
    ClipTokenizerOptions options_;
    detail::SpecialTokenFinder raw_finder_, normalized_finder_;
    std::unordered_map<std::int32_t, bool> specials_;  // shown in decoded text?
    std::array<std::int16_t, 0x144>
        bytes_of_character_{};  // U+0143 is the last of byte_characters()
    std::int32_t start_ = 0, end_ = 0, pad_ = 0;
};

}  // namespace dalle2

#include <dalle2/text/tokenizer_files.hpp>
