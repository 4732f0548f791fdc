// Learning a byte-pair vocabulary from texts, by the algorithm that made CLIP's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/utf8.hpp>
#include <dalle2/text/byte_pair_encoding.hpp>
#include <dalle2/text/clip_tokenizer.hpp>
#include <dalle2/text/unicode.hpp>
#include <dalle2/text/word_splitter.hpp>

namespace dalle2 {

// Learns at most `max_merges` merges from the words of `texts`: time and again, the pair of
// neighbouring tokens that occurs most often becomes a token (among equals, the one whose parts
// have the smaller ids, so that the result depends on the texts alone). With enough merges every
// word of the texts is one token. The vocabulary is laid out as OpenAI's: 512 byte tokens, merges,
// <|startoftext|>, <|endoftext|>.
inline BpeVocabulary train_bpe(const std::vector<std::string>& texts,
                               std::size_t max_merges = detail::most_clip_merges) {
    std::map<std::string, std::int64_t> counts;
    for (const std::string& text : texts) {
        const std::u32string normalized = lower_case(normalized_nfc(decode_utf8(text)));
        for_each_word(normalized, [&](std::u32string_view word) { ++counts[encode_utf8(word)]; });
    }

    BpeVocabulary vocabulary;
    vocabulary.tokens = byte_tokens();
    std::map<std::string, std::int32_t> ids;
    for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i)
        ids[vocabulary.tokens[i]] = static_cast<std::int32_t>(i);

    struct Word {
        std::vector<std::int32_t> symbols;
        std::int64_t count;
    };
    using Pair = std::pair<std::int32_t, std::int32_t>;
    std::vector<Word> words;
    std::map<Pair, std::int64_t> frequency;
    std::map<Pair, std::set<std::size_t>>
        places;  // the words in which a pair occurred at some time
    const auto characters = byte_characters();
    const auto count_pairs = [&](std::size_t index, std::int64_t sign) {
        const Word& word = words[index];
        for (std::size_t i = 0; i + 1 < word.symbols.size(); ++i) {
            const Pair pair{word.symbols[i], word.symbols[i + 1]};
            const auto entry = frequency.emplace(pair, 0).first;
            entry->second += sign * word.count;
            if (entry->second == 0) frequency.erase(entry);
            if (sign > 0) places[pair].insert(index);
        }
    };
    for (const auto& [text, count] : counts) {
        Word word{{}, count};
        for (std::size_t i = 0; i < text.size(); ++i) {
            std::string token;
            append_utf8(token, characters[static_cast<unsigned char>(text[i])]);
            if (i + 1 == text.size()) token += end_of_word;
            word.symbols.push_back(ids.at(token));
        }
        words.push_back(std::move(word));
        count_pairs(words.size() - 1, 1);
    }

    while (vocabulary.merges.size() < max_merges && !frequency.empty()) {
        auto best = frequency.begin();
        for (auto entry = frequency.begin(); entry != frequency.end(); ++entry)
            if (entry->second > best->second) best = entry;
        const Pair pair = best->first;
        const std::string left = vocabulary.tokens[static_cast<std::size_t>(pair.first)];
        const std::string right = vocabulary.tokens[static_cast<std::size_t>(pair.second)];
        vocabulary.merges.emplace_back(left, right);
        // Another pair may have made the same token before.
        const auto [made, is_new] =
            ids.emplace(left + right, static_cast<std::int32_t>(vocabulary.tokens.size()));
        if (is_new) vocabulary.tokens.push_back(left + right);
        const std::int32_t id = made->second;
        const std::set<std::size_t> affected = places[pair];
        places.erase(pair);
        for (const std::size_t index : affected) {
            count_pairs(index, -1);
            std::vector<std::int32_t>& symbols = words[index].symbols;
            std::vector<std::int32_t> merged;
            for (std::size_t i = 0; i < symbols.size(); ++i) {
                const bool here =
                    i + 1 < symbols.size() && Pair{symbols[i], symbols[i + 1]} == pair;
                merged.push_back(here ? id : symbols[i]);
                if (here) ++i;
            }
            symbols = std::move(merged);
            count_pairs(index, 1);
        }
    }
    const ClipTokenizerOptions specials;
    for (const std::string& token : {specials.start.content, specials.end.content}) {
        if (ids.contains(token))
            throw FormatError("a word of the texts is the special token " + token);
        vocabulary.tokens.push_back(token);
    }
    return vocabulary;
}

}  // namespace dalle2
