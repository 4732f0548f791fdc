// The words of a prompt that a model has never seen, and those most like them that it has.
#pragma once

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dalle2/io/utf8.hpp>
#include <dalle2/text/unicode.hpp>
#include <dalle2/text/word_splitter.hpp>

namespace dalle2 {

struct UnknownWord {
    std::string word;                  // in lower case
    std::vector<std::string> nearest;  // known words, the most alike first; may be empty
};

// The least number of letters added, removed, changed or swapped with their neighbour that turns
// one word into the other (optimal string alignment).
inline std::size_t edit_distance(std::u32string_view a, std::u32string_view b) {
    std::vector<std::size_t> before, row(b.size() + 1), next(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        next[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            next[j] = std::min({row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] != b[j - 1])});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                next[j] = std::min(next[j], before[j - 2] + 1);
        }
        before = row;
        std::swap(row, next);
    }
    return row[b.size()];
}

// The words of letters in a prompt that are not among `known` (in lower case), each once, in their
// order, with up to `suggestions` known words that are less than half different. The work is
// bounded whatever the prompt: only the first 32 get suggestions, and only if shorter than 64.
inline std::vector<UnknownWord> unknown_words(std::string_view prompt,
                                              const std::vector<std::string>& known,
                                              std::size_t suggestions = 3) {
    constexpr std::size_t most_suggested = 32, longest_suggested = 64;
    std::set<std::u32string> known_words;
    for (const std::string& word : known)
        known_words.insert(lower_case(normalized_nfc(decode_utf8(word))));

    std::vector<UnknownWord> unknown;
    std::set<std::u32string> reported;
    const std::u32string text = lower_case(normalized_nfc(decode_utf8(prompt)));
    for_each_word(text, [&](std::u32string_view view) {
        const std::u32string word(view);
        if (!is_letter(word[0]) || known_words.contains(word) || !reported.insert(word).second)
            return;
        UnknownWord& result = unknown.emplace_back(UnknownWord{encode_utf8(word), {}});
        if (unknown.size() > most_suggested || word.size() > longest_suggested) return;
        std::vector<std::pair<std::size_t, std::u32string>> candidates;
        for (const std::u32string& candidate : known_words) {
            const std::size_t longer = std::max(word.size(), candidate.size());
            const std::size_t shorter = std::min(word.size(), candidate.size());
            if (2 * (longer - shorter) >= longer) continue;
            const std::size_t distance = edit_distance(word, candidate);
            if (2 * distance < longer) candidates.emplace_back(distance, candidate);
        }
        std::sort(candidates.begin(), candidates.end());
        for (std::size_t i = 0; i < std::min(suggestions, candidates.size()); ++i)
            result.nearest.push_back(encode_utf8(candidates[i].second));
    });
    return unknown;
}

}  // namespace dalle2
