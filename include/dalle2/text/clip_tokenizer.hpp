// CLIP's tokenizer: a prompt → the numbers that the text encoder reads, exactly as transformers'
// CLIPTokenizerFast does it (but for characters that only one of the two programs' Unicode tables
// knows). That library's slow tokenizer differs from its fast one on Chinese characters, control
// characters and a few capitals; no text clean-up such as ftfy's is applied.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/utf8.hpp>
#include <dalle2/text/byte_pair_encoding.hpp>
#include <dalle2/text/unicode.hpp>
#include <dalle2/text/word_splitter.hpp>

namespace dalle2 {

// A token that stands for itself wherever it occurs in a prompt. A normalized one is looked for
// after the prompt has been brought into lower case.
struct SpecialToken {
    std::string content;
    bool normalized = true;
};

struct ClipTokenizerOptions {
    SpecialToken start{"<|startoftext|>"};
    SpecialToken end{"<|endoftext|>"};
    SpecialToken pad{"<|endoftext|>"};
    std::int64_t max_length = 77;  // start and end included
};

// A prompt, ready for the text encoder.
struct Tokens {
    std::vector<std::int32_t> ids;   // start, the text, end, padding: as many as the maximum length
    std::vector<std::int32_t> mask;  // 1: start, text or end; 0: padding
    std::int64_t length = 0;         // how many ones
    bool truncated = false;
    std::string dropped;  // the words that did not fit
};

class ClipTokenizer {
public:
    // Throws FormatError for a contradictory vocabulary, ConfigError for special tokens that are
    // not in it or a length below 2.
    explicit ClipTokenizer(BpeVocabulary vocabulary, ClipTokenizerOptions options = {},
                           const std::string& where = "vocabulary")
        : encoding_(std::move(vocabulary), where), options_(std::move(options)) {
        if (options_.max_length < 2 || options_.max_length > 1'000'000)
            throw ConfigError(where + ": model_max_length is " +
                              std::to_string(options_.max_length) + "; expected 2 to 1000000");
        for (const SpecialToken* token : {&options_.start, &options_.end, &options_.pad}) {
            const std::int32_t id = encoding_.id(token->content);
            if (id < 0 || token->content.empty())
                throw ConfigError(where + ": the special token \"" + token->content +
                                  "\" is not in the vocabulary");
            add_special(*token, id);
        }
        start_ = encoding_.id(options_.start.content);
        end_ = encoding_.id(options_.end.content);
        pad_ = encoding_.id(options_.pad.content);
        bytes_of_character_.fill(-1);
        const auto characters = byte_characters();
        for (std::size_t byte = 0; byte < 256; ++byte)
            bytes_of_character_[characters[byte]] = static_cast<std::int16_t>(byte);
    }

    // The tokenizer/ folder of a model: vocab.json, merges.txt, tokenizer_config.json and
    // special_tokens_map.json. Defined in tokenizer_files.hpp.
    static ClipTokenizer from_directory(const std::filesystem::path& directory);
    // OpenAI's bpe_simple_vocab_16e6.txt.gz. Defined in tokenizer_files.hpp.
    static ClipTokenizer from_openai_file(const std::filesystem::path& path,
                                          ClipTokenizerOptions options = {});
    // Writes a folder that from_directory and transformers read. Defined in tokenizer_files.hpp.
    void save(const std::filesystem::path& directory) const;

    const BpeVocabulary& vocabulary() const { return encoding_.vocabulary(); }
    const ClipTokenizerOptions& options() const { return options_; }
    std::int32_t vocabulary_size() const { return encoding_.size(); }
    std::int64_t max_length() const { return options_.max_length; }
    std::int32_t start_id() const { return start_; }
    std::int32_t end_id() const { return end_; }
    std::int32_t pad_id() const { return pad_; }

    // The tokens of a text of any length, without start and end. Bytes that are not UTF-8 count as
    // U+FFFD, as in Python's errors="replace". Time and memory grow with the length alone.
    std::vector<std::int32_t> encode(std::string_view text) const {
        std::vector<std::int32_t> ids;
        const auto encode_words = [&](std::u32string_view part) {
            for_each_word(part, [&](std::u32string_view word) {
                encoding_.encode_word(encode_utf8(word), ids);
            });
        };
        const std::u32string codes = decode_utf8(text);
        split_at_specials(codes, raw_specials_, ids, [&](std::u32string_view part) {
            const std::u32string normalized = lower_case(normalized_nfc(part));
            split_at_specials(normalized, normalized_specials_, ids, encode_words);
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
            tokens.dropped =
                decode({ids.begin() + static_cast<std::ptrdiff_t>(longest - 2), ids.end()});
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
            if (is_special(id)) {
                if (with_specials) text += token;
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
    struct Special {
        std::u32string content;
        std::int32_t id;
    };

    void add_special(const SpecialToken& token, std::int32_t id) {
        for (const auto* list : {&raw_specials_, &normalized_specials_})
            for (const Special& known : *list)
                if (known.id == id) return;
        const std::u32string content = decode_utf8(token.content);
        if (token.normalized)
            normalized_specials_.push_back({lower_case(normalized_nfc(content)), id});
        else
            raw_specials_.push_back({content, id});
    }

    bool is_special(std::int32_t id) const {
        const auto same = [&](const Special& special) { return special.id == id; };
        return std::any_of(raw_specials_.begin(), raw_specials_.end(), same) ||
               std::any_of(normalized_specials_.begin(), normalized_specials_.end(), same);
    }

    // Calls function(part) for the text between special tokens, whose ids are appended; the longest
    // of those that begin at a place counts.
    template <class Function>
    static void split_at_specials(std::u32string_view text, const std::vector<Special>& specials,
                                  std::vector<std::int32_t>& ids, Function&& function) {
        std::size_t begin = 0;
        for (std::size_t i = 0; i < text.size();) {
            const Special* found = nullptr;
            for (const Special& special : specials)
                if (text[i] == special.content[0] && text.substr(i).starts_with(special.content) &&
                    (!found || special.content.size() > found->content.size()))
                    found = &special;
            if (!found) {
                ++i;
                continue;
            }
            if (i > begin) function(text.substr(begin, i - begin));
            ids.push_back(found->id);
            begin = i += found->content.size();
        }
        if (begin < text.size()) function(text.substr(begin));
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
    std::vector<Special> raw_specials_, normalized_specials_;
    std::array<std::int16_t, 0x144>
        bytes_of_character_{};  // U+0143 is the last of byte_characters()
    std::int32_t start_ = 0, end_ = 0, pad_ = 0;
};

}  // namespace dalle2

#include <dalle2/text/tokenizer_files.hpp>
