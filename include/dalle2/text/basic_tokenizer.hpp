// How transformers' slow CLIPTokenizer prepares a text when ftfy is not installed: its
// BasicTokenizer (transformers 4.49, models/clip/tokenization_clip.py).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <utf8proc.h>

#include <dalle2/io/utf8.hpp>
#include <dalle2/text/unicode.hpp>

namespace dalle2 {

namespace detail {

// What that tokenizer takes for a Chinese character: each becomes a word of its own.
inline bool is_chinese(char32_t code) {
    return (code >= 0x4E00 && code <= 0x9FFF) || (code >= 0x3400 && code <= 0x4DBF) ||
           (code >= 0x20000 && code <= 0x2A6DF) || (code >= 0x2A700 && code <= 0x2CEAF) ||
           (code >= 0xF900 && code <= 0xFAFF) || (code >= 0x2F800 && code <= 0x2FA1F);
}

// Does Python pass over it when it looks for a letter beside a Σ (Case_Ignorable)?
inline bool is_passed_over(char32_t code) {
    switch (utf8proc_category(utf8proc_code(code))) {
        case UTF8PROC_CATEGORY_MN:
        case UTF8PROC_CATEGORY_ME:
        case UTF8PROC_CATEGORY_CF:
        case UTF8PROC_CATEGORY_LM:
        case UTF8PROC_CATEGORY_SK: return true;
        default: return contains(passed_over_beside_marks, code);
    }
}

// Has it upper and lower case (Cased)?
inline bool has_case(char32_t code) {
    switch (utf8proc_category(utf8proc_code(code))) {
        case UTF8PROC_CATEGORY_LU:
        case UTF8PROC_CATEGORY_LL:
        case UTF8PROC_CATEGORY_LT: return true;
        default: return contains(cased_beside_letters, code);
    }
}

}  // namespace detail

// A word in lower case as Python's str.lower() gives it: as lower_case, but a Σ that follows a
// letter and precedes none becomes ς (Unicode's condition Final_Sigma).
inline std::u32string python_lower_case(std::u32string_view word) {
    if (word.find(U'Σ') == std::u32string_view::npos) return lower_case(word);
    std::u32string lowered;
    lowered.reserve(word.size());
    bool after_letter = false;
    for (std::size_t i = 0; i < word.size(); ++i) {
        if (word[i] == U'Σ') {
            std::size_t next = i + 1;
            while (next < word.size() && detail::is_passed_over(word[next])) ++next;
            const bool before_letter = next < word.size() && detail::has_case(word[next]);
            lowered += after_letter && !before_letter ? U'ς' : U'σ';
        } else {
            lowered += lower_case(word.substr(i, 1));
        }
        if (!detail::is_passed_over(word[i])) after_letter = detail::has_case(word[i]);
    }
    return lowered;
}

// The text as that tokenizer leaves it to the regular expression: without control characters, zero
// bytes and U+FFFD, spaces around Chinese characters, in normal form C, its words in lower case
// with one space between them.
inline std::u32string basic_tokenized(std::u32string_view text) {
    std::u32string clean;
    clean.reserve(text.size());
    for (const char32_t code : text) {
        if (code == U'\t' || code == U'\n' || code == U'\r')
            clean += U' ';
        else if (code == replacement_character || is_control(code))
            continue;
        else if (detail::is_chinese(code))
            clean.append({U' ', code, U' '});
        else
            clean += code;
    }
    clean = normalized_nfc(clean);
    std::u32string words;
    words.reserve(clean.size());
    for (std::size_t begin = 0; begin < clean.size();) {
        std::size_t end = begin;
        while (end < clean.size() && !is_white_space(clean[end])) ++end;
        if (end > begin) {
            if (!words.empty()) words += U' ';
            words += python_lower_case(std::u32string_view(clean).substr(begin, end - begin));
        }
        begin = end + 1;
    }
    return words;
}

}  // namespace dalle2
