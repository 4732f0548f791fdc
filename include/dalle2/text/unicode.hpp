// What the tokenizer needs to know of Unicode: normal form C, lower case, letters, numbers, spaces.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <utf8proc.h>

#include <dalle2/io/utf8.hpp>

namespace dalle2 {

namespace detail {

inline utf8proc_int32_t utf8proc_code(char32_t code) { return static_cast<utf8proc_int32_t>(code); }

}  // namespace detail

// Is it of a category that begins with L (\p{L})?
inline bool is_letter(char32_t code) {
    switch (utf8proc_category(detail::utf8proc_code(code))) {
        case UTF8PROC_CATEGORY_LU:
        case UTF8PROC_CATEGORY_LL:
        case UTF8PROC_CATEGORY_LT:
        case UTF8PROC_CATEGORY_LM:
        case UTF8PROC_CATEGORY_LO: return true;
        default: return false;
    }
}

// Is it of a category that begins with N (\p{N}): digits, Roman numerals, fractions?
inline bool is_number(char32_t code) {
    switch (utf8proc_category(detail::utf8proc_code(code))) {
        case UTF8PROC_CATEGORY_ND:
        case UTF8PROC_CATEGORY_NL:
        case UTF8PROC_CATEGORY_NO: return true;
        default: return false;
    }
}

// Has it the property White_Space?
inline bool is_white_space(char32_t code) {
    return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 ||
           code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

// Normal form C. Takes n log n steps however many combining marks follow one another, where
// utf8proc's own ordering of marks takes n².
inline std::u32string normalized_nfc(std::u32string_view codes) {
    if (std::all_of(codes.begin(), codes.end(), [](char32_t code) { return code < 0x300; }))
        return std::u32string(codes);  // below the first combining mark everything is in form C
    std::vector<utf8proc_int32_t> buffer;
    buffer.reserve(codes.size());
    for (const char32_t code : codes) {
        utf8proc_int32_t parts[16];
        int boundary = 0;
        const utf8proc_ssize_t count = utf8proc_decompose_char(detail::utf8proc_code(code), parts,
                                                               16, UTF8PROC_DECOMPOSE, &boundary);
        if (count < 0 || count > 16)
            buffer.push_back(detail::utf8proc_code(code));
        else
            buffer.insert(buffer.end(), parts, parts + count);
    }
    const auto combining_class = [](utf8proc_int32_t code) {
        return utf8proc_get_property(code)->combining_class;
    };
    for (auto begin = buffer.begin(); begin != buffer.end();) {
        if (combining_class(*begin) == 0) {
            ++begin;
            continue;
        }
        const auto end = std::find_if(begin, buffer.end(),
                                      [&](auto code) { return combining_class(code) == 0; });
        std::stable_sort(begin, end,
                         [&](auto a, auto b) { return combining_class(a) < combining_class(b); });
        begin = end;
    }
    const utf8proc_ssize_t length = utf8proc_normalize_utf32(
        buffer.data(), static_cast<utf8proc_ssize_t>(buffer.size()),
        static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    return std::u32string(buffer.begin(), buffer.begin() + std::max<utf8proc_ssize_t>(length, 0));
}

// Each character's own lower case, without regard to its neighbours (a final Σ becomes σ).
inline std::u32string lower_case(std::u32string_view codes) {
    std::u32string result;
    result.reserve(codes.size());
    for (const char32_t code : codes) {
        if (code == 0x130) {  // İ: the one character whose lower case is two, i and a dot above
            result += U"i\u0307";
        } else {
            result += static_cast<char32_t>(utf8proc_tolower(detail::utf8proc_code(code)));
        }
    }
    return result;
}

}  // namespace dalle2
