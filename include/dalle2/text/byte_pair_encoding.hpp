// Byte-pair encoding (Sennrich et al. 2016) over bytes: a word starts as its bytes and grows by
// merging neighbours, the earliest learned pair first.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/utf8.hpp>

namespace dalle2 {

// A byte as a printable character, so that vocabulary files are text (GPT-2's table): the printable
// bytes of Latin-1 are themselves, the others follow from U+0100 on.
inline std::array<char32_t, 256> byte_characters() {
    std::array<char32_t, 256> table{};
    char32_t next = 0x100;
    for (std::size_t byte = 0; byte < 256; ++byte) {
        const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
        table[byte] = printable ? static_cast<char32_t>(byte) : next++;
    }
    return table;
}

// Marks the last token of a word.
inline constexpr std::string_view end_of_word = "</w>";

// The 512 tokens that every vocabulary begins with: the bytes in the order of their characters'
// first appearance in OpenAI's table (printable ones first), then the same at the end of a word.
inline std::vector<std::string> byte_tokens() {
    const auto table = byte_characters();
    std::vector<std::string> tokens;
    for (const bool printable : {true, false})
        for (std::size_t byte = 0; byte < 256; ++byte)
            if ((table[byte] == byte) == printable) append_utf8(tokens.emplace_back(), table[byte]);
    for (std::size_t i = 0; i < 256; ++i) tokens.push_back(tokens[i] + std::string(end_of_word));
    return tokens;
}

// What vocab.json and merges.txt hold: the token of each id, and the pairs in the order learned.
struct BpeVocabulary {
    std::vector<std::string> tokens;
    std::vector<std::pair<std::string, std::string>> merges;
};

class BytePairEncoding {
public:
    // Throws FormatError when a token occurs twice, a byte has no token, or a merge joins or makes
    // tokens that are not in the vocabulary. `where` stands in the message.
    BytePairEncoding(BpeVocabulary vocabulary, const std::string& where)
        : vocabulary_(std::move(vocabulary)) {
        const auto& tokens = vocabulary_.tokens;
        ids_.reserve(tokens.size());
        for (std::size_t i = 0; i < tokens.size(); ++i)
            if (!ids_.emplace(tokens[i], static_cast<std::int32_t>(i)).second)
                throw FormatError(where + ": the token \"" + tokens[i] + "\" occurs twice");
        const auto require = [&](const std::string& token) {
            const std::int32_t found = id(token);
            if (found < 0) throw FormatError(where + ": the token \"" + token + "\" is missing");
            return found;
        };
        const auto characters = byte_characters();
        for (std::size_t byte = 0; byte < 256; ++byte) {
            std::string token;
            append_utf8(token, characters[byte]);
            bytes_[byte] = require(token);
            last_bytes_[byte] = require(token + std::string(end_of_word));
        }
        merges_.reserve(vocabulary_.merges.size());
        for (std::size_t rank = 0; rank < vocabulary_.merges.size(); ++rank) {
            const auto& [left, right] = vocabulary_.merges[rank];
            merges_[key(require(left), require(right))] = {static_cast<std::int32_t>(rank),
                                                           require(left + right)};
        }
    }

    const BpeVocabulary& vocabulary() const { return vocabulary_; }
    std::int32_t size() const { return static_cast<std::int32_t>(vocabulary_.tokens.size()); }

    // The id of a token, −1 when there is none.
    std::int32_t id(const std::string& token) const {
        const auto found = ids_.find(token);
        return found == ids_.end() ? -1 : found->second;
    }

    // In which order neighbours are merged. It makes a difference only where two pairs make the
    // same token; OpenAI's vocabulary has none such.
    enum class Order {
        candidates,  // the earliest learned pair first, new ones included at once (tokenizers)
        rounds       // a pair everywhere in the word, then the next (transformers' slow tokenizer)
    };

    // Appends the tokens of one word, given as UTF-8. n bytes take about n·log n steps.
    void encode_word(std::string_view word, std::vector<std::int32_t>& ids,
                     Order order = Order::candidates) const {
        if (word.empty()) return;
        struct Symbol {
            std::int32_t id;
            std::int32_t previous, next;  // −1: none
        };
        const auto count = static_cast<std::int32_t>(word.size());
        std::vector<Symbol> symbols;
        symbols.reserve(word.size());
        for (std::int32_t i = 0; i < count; ++i) {
            const auto byte = static_cast<unsigned char>(word[static_cast<std::size_t>(i)]);
            const bool last = i + 1 == count;
            symbols.push_back({last ? last_bytes_[byte] : bytes_[byte], i - 1, last ? -1 : i + 1});
        }
        // Candidates by rank, then from the left. A candidate whose neighbourhood has changed is
        // recognised by what it would make now, and dropped.
        struct Candidate {
            std::int32_t rank, position, result;
            bool operator>(const Candidate& other) const {
                return std::pair(rank, position) > std::pair(other.rank, other.position);
            }
        };
        std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
        const auto at = [&](std::int32_t i) -> Symbol& {
            return symbols[static_cast<std::size_t>(i)];
        };
        const auto propose = [&](std::int32_t left) {
            if (left < 0 || at(left).next < 0) return;
            const auto found = merges_.find(key(at(left).id, at(at(left).next).id));
            if (found != merges_.end())
                candidates.push({found->second.rank, left, found->second.result});
        };
        for (std::int32_t i = 0; i + 1 < count; ++i) propose(i);
        constexpr std::int32_t merged_away = -1;
        std::vector<std::int32_t> changed;  // where new pairs begin that are not proposed yet
        for (std::int32_t round = -1;;) {
            if (order == Order::candidates || candidates.empty() ||
                candidates.top().rank != round) {
                for (const std::int32_t left : changed) propose(left);
                changed.clear();
            }
            if (candidates.empty()) break;
            const Candidate best = candidates.top();
            candidates.pop();
            round = best.rank;
            Symbol& left = at(best.position);
            if (left.id == merged_away || left.next < 0) continue;
            Symbol& right = at(left.next);
            const auto found = merges_.find(key(left.id, right.id));
            if (found == merges_.end() || found->second.result != best.result) continue;
            if (order == Order::rounds && found->second.rank != best.rank) continue;
            left.id = best.result;
            left.next = right.next;
            right.id = merged_away;
            if (left.next >= 0) at(left.next).previous = best.position;
            changed.insert(changed.end(), {left.previous, best.position});
        }
        for (std::int32_t i = 0; i >= 0; i = at(i).next) ids.push_back(at(i).id);
    }

private:
    struct Merge {
        std::int32_t rank, result;
    };
    static std::uint64_t key(std::int32_t left, std::int32_t right) {
        return (static_cast<std::uint64_t>(left) << 32) | static_cast<std::uint32_t>(right);
    }

    BpeVocabulary vocabulary_;
    std::unordered_map<std::string, std::int32_t> ids_;
    std::unordered_map<std::uint64_t, Merge> merges_;
    std::array<std::int32_t, 256> bytes_{}, last_bytes_{};
};

}  // namespace dalle2
