// What the tokenizer needs to know of Unicode: normal form C, lower case, letters, numbers, spaces.
// The answers are those of Unicode 14 with the letters, numbers and lower case of version 16, for
// every version of utf8proc.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <utf8proc.h>

#include <dalle2/io/utf8.hpp>
#include <dalle2/text/unicode_tables.hpp>

namespace dalle2 {

namespace detail {

inline utf8proc_int32_t utf8proc_code(char32_t code) { return static_cast<utf8proc_int32_t>(code); }

inline bool is_newer(char32_t code) { return contains(newer_than_unicode_14, code); }

}  // namespace detail

// Is it of a category that begins with L (\p{L})?
inline bool is_letter(char32_t code) {
    if (detail::is_newer(code)) return detail::contains(detail::newer_letters, code);
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
    if (detail::is_newer(code)) return detail::contains(detail::newer_numbers, code);
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

// Is it of a category that begins with C: control and format characters, private ones, and those
// that Unicode 14 has not assigned?
inline bool is_control(char32_t code) {
    switch (utf8proc_category(detail::utf8proc_code(code))) {
        case UTF8PROC_CATEGORY_CC:
        case UTF8PROC_CATEGORY_CF:
        case UTF8PROC_CATEGORY_CS:
        case UTF8PROC_CATEGORY_CO:
        case UTF8PROC_CATEGORY_CN: return true;
        default: return detail::is_newer(code);
    }
}

namespace detail {

// Appends the normal form C of `codes` to `result`, in n log n steps however many combining marks
// follow one another, where utf8proc's own ordering of marks takes n².
inline void append_nfc(std::u32string_view codes, std::u32string& result) {
    std::vector<utf8proc_int32_t> buffer;
    buffer.reserve(codes.size());
    for (const char32_t code : codes) {
        utf8proc_int32_t parts[16];
        int boundary = 0;
        const utf8proc_ssize_t count =
            utf8proc_decompose_char(utf8proc_code(code), parts, 16, UTF8PROC_DECOMPOSE, &boundary);
        if (count < 0 || count > 16)
            buffer.push_back(utf8proc_code(code));
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
    result.append(buffer.begin(), buffer.begin() + std::max<utf8proc_ssize_t>(length, 0));
}

}  // namespace detail

// Normal form C. A character of which is_unknown(code) is true stays as and where it is, and so do
// those newer than Unicode 14.
template <class Predicate>
std::u32string normalized_nfc(std::u32string_view codes, Predicate&& is_unknown) {
    if (std::all_of(codes.begin(), codes.end(), [](char32_t code) { return code < 0x300; }))
        return std::u32string(codes);  // below the first combining mark everything is in form C
    const auto stays = [&](char32_t code) { return detail::is_newer(code) || is_unknown(code); };
    std::u32string result;
    result.reserve(codes.size());
    for (auto begin = codes.begin(); begin != codes.end();) {
        const auto end = std::find_if(begin, codes.end(), stays);
        detail::append_nfc({begin, end}, result);
        begin = std::find_if_not(end, codes.end(), stays);
        result.append(end, begin);
    }
    return result;
}

inline std::u32string normalized_nfc(std::u32string_view codes) {
    return normalized_nfc(codes, [](char32_t) { return false; });
}

// The lower case of one character but İ, whose lower case is two.
inline char32_t lower_case(char32_t code) {
    if (!detail::is_newer(code))
        return static_cast<char32_t>(utf8proc_tolower(detail::utf8proc_code(code)));
    switch (code) {  // the capitals of Unicode 16
        case 0x1C89:
        case 0xA7CC:
        case 0xA7DA: return code + 1;
        case 0xA7CB: return 0x264;
        case 0xA7DC: return 0x19B;
        default: return code >= 0x10D50 && code <= 0x10D65 ? code + 0x20 : code;
    }
}

// Each character's own lower case, without regard to its neighbours (a final Σ becomes σ).
inline std::u32string lower_case(std::u32string_view codes) {
    std::u32string result;
    result.reserve(codes.size());
    for (const char32_t code : codes)
        if (code == 0x130)  // İ becomes i and a dot above
            result += U"i\u0307";
        else
            result += lower_case(code);
    return result;
}

}  // namespace dalle2
