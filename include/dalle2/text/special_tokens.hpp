// Tokens that stand for themselves wherever they occur in a prompt, and how they are found there.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dalle2 {

// The fast tokenizer looks for a normalized one after the prompt has been brought into lower case.
struct SpecialToken {
    std::string content;
    bool normalized = true;
    bool decoded = false;  // does the text of tokens show it? Words added to a vocabulary do
};

namespace detail {

// Finds the longest of many texts that begins at a place, in steps that grow with its length and
// with the logarithm of their number.
class SpecialTokenFinder {
public:
    struct Special {
        std::u32string content;  // not empty
        std::int32_t id;
    };

    void add(Special special) {
        const auto before = [](const Special& a, const Special& b) {
            return a.content < b.content;
        };
        specials_.insert(std::upper_bound(specials_.begin(), specials_.end(), special, before),
                         std::move(special));
    }

    // Calls function(part) for the text between special tokens, whose ids are appended.
    template <class Function>
    void split(std::u32string_view text, std::vector<std::int32_t>& ids,
               Function&& function) const {
        std::size_t begin = 0;
        for (std::size_t i = 0; i < text.size();) {
            const Special* found = longest_at(text, i);
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

private:
    const Special* longest_at(std::u32string_view text, std::size_t place) const {
        const Special* found = nullptr;
        // [first, last): those that begin with the characters looked at; the shortest comes first.
        auto first = specials_.begin(), last = specials_.end();
        for (std::size_t length = 0; first != last; ++length) {
            if (first->content.size() == length) found = &*first++;
            if (place + length >= text.size()) break;
            const char32_t next = text[place + length];
            first = std::partition_point(
                first, last, [&](const Special& s) { return s.content[length] < next; });
            last = std::partition_point(
                first, last, [&](const Special& s) { return s.content[length] == next; });
        }
        return found;
    }

    std::vector<Special> specials_;  // by content
};

}  // namespace detail

}  // namespace dalle2
