// The first step of CLIP's tokenizer: text → words, as by the regular expression
//     's|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
// (English endings, runs of letters, single digits, runs of anything else; spaces vanish).
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include <dalle2/text/unicode.hpp>

namespace dalle2 {

// Calls function(word) for each word of a text in lower case, in order.
template <class Function>
void for_each_word(std::u32string_view text, Function&& function) {
    constexpr std::array<std::u32string_view, 7> endings = {U"'s", U"'t",  U"'re", U"'ve",
                                                            U"'m", U"'ll", U"'d"};
    enum class Kind { space, letter, number, other };
    const auto kind = [](char32_t code) {
        if (is_white_space(code)) return Kind::space;
        if (is_letter(code)) return Kind::letter;
        return is_number(code) ? Kind::number : Kind::other;
    };
    std::size_t begin = 0;
    while (begin < text.size()) {
        std::size_t end = begin + 1;
        const Kind first = kind(text[begin]);
        std::size_t ending = 0;
        if (text[begin] == U'\'')
            for (const auto candidate : endings)
                if (text.substr(begin).starts_with(candidate)) ending = candidate.size();
        if (ending > 0)
            end = begin + ending;
        else if (first == Kind::letter || first == Kind::other)
            while (end < text.size() && kind(text[end]) == first) ++end;
        if (first != Kind::space) function(text.substr(begin, end - begin));
        begin = end;
    }
}

}  // namespace dalle2
