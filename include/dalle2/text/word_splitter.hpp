// The first step of CLIP's tokenizer: text → words, as by the regular expression
//     's|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
// (English endings, runs of letters, single digits, runs of anything else; spaces vanish).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include <dalle2/text/unicode.hpp>

namespace dalle2 {

namespace detail {

inline constexpr std::array<std::u32string_view, 7> english_endings = {
    U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"};
// With these the expression of transformers' slow tokenizer begins, whatever the special tokens.
inline constexpr std::array<std::u32string_view, 2> frame_words = {U"<|startoftext|>",
                                                                   U"<|endoftext|>"};

// Calls function(word) for each word; where fixed(begin) is not 0, a word of that many characters.
template <class IsSpace, class Fixed, class Function>
void for_each_word_but(std::u32string_view text, IsSpace&& is_space, Fixed&& fixed,
                       Function&& function) {
    enum class Kind { space, letter, number, other };
    const auto kind = [&](char32_t code) {
        if (is_space(code)) return Kind::space;
        if (is_letter(code)) return Kind::letter;
        return is_number(code) ? Kind::number : Kind::other;
    };
    std::size_t begin = 0;
    while (begin < text.size()) {
        std::size_t end = begin + 1;
        const Kind first = kind(text[begin]);
        if (const std::size_t length = fixed(begin); length > 0)
            end = begin + length;
        else if (first == Kind::letter || first == Kind::other)
            while (end < text.size() && kind(text[end]) == first) ++end;
        if (first != Kind::space) function(text.substr(begin, end - begin));
        begin = end;
    }
}

}  // namespace detail

// Calls function(word) for each word of a text in lower case, in order.
template <class Function>
void for_each_word(std::u32string_view text, Function&& function) {
    const auto ending = [&](std::size_t begin) {
        std::size_t length = 0;
        if (text[begin] == U'\'')
            for (const auto candidate : detail::english_endings)
                if (text.substr(begin).starts_with(candidate)) length = candidate.size();
        return length;
    };
    detail::for_each_word_but(text, is_white_space, ending, function);
}

// The same by the expression of transformers' slow tokenizer. That one begins with the words
// <|startoftext|> and <|endoftext|> and ignores case, so that ſ, the one character of a text in
// lower case with another form, counts as s in an ending, and that U+0345, a mark whose capital is
// a letter, is matched by nothing.
template <class Function>
void for_each_slow_word(std::u32string_view text, Function&& function) {
    const auto begins = [&](std::size_t begin, std::u32string_view word) {
        return word.size() <= text.size() - begin &&
               std::equal(
                   word.begin(), word.end(), text.substr(begin).begin(),
                   [](char32_t a, char32_t b) { return a == b || (a == U's' && b == U'ſ'); });
    };
    const auto is_space = [](char32_t code) { return is_white_space(code) || code == 0x345; };
    const auto fixed = [&](std::size_t begin) {
        std::size_t length = 0;
        if (text[begin] == U'\'')
            for (const auto ending : detail::english_endings)
                if (begins(begin, ending)) length = ending.size();
        if (text[begin] == U'<')
            for (const auto word : detail::frame_words)
                if (begins(begin, word)) length = word.size();
        return length;
    };
    detail::for_each_word_but(text, is_space, fixed, function);
}

}  // namespace dalle2
