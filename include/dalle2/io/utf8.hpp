// UTF-8: from and to code points, with a defined answer to bytes that are not UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dalle2 {

// Appends the UTF-8 bytes of a code point.
inline void append_utf8(std::string& text, char32_t code) {
    const auto byte = [&](char32_t value) { text += static_cast<char>(value); };
    if (code < 0x80) {
        byte(code);
    } else if (code < 0x800) {
        byte(0xC0 | (code >> 6));
        byte(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        byte(0xE0 | (code >> 12));
        byte(0x80 | ((code >> 6) & 0x3F));
        byte(0x80 | (code & 0x3F));
    } else {
        byte(0xF0 | (code >> 18));
        byte(0x80 | ((code >> 12) & 0x3F));
        byte(0x80 | ((code >> 6) & 0x3F));
        byte(0x80 | (code & 0x3F));
    }
}

// Stands for bytes that are not UTF-8.
inline constexpr char32_t replacement_character = 0xFFFD;

// The code points of `text`. Bytes that are not UTF-8 (overlong forms, surrogates and values above
// U+10FFFF included) become U+FFFD, one for each longest prefix of a valid sequence, as the
// Unicode standard recommends and Python's errors="replace" does.
inline std::u32string decode_utf8(std::string_view text) {
    std::u32string codes;
    codes.reserve(text.size());
    std::size_t i = 0;
    while (i < text.size()) {
        const auto first = static_cast<unsigned char>(text[i++]);
        if (first < 0x80) {
            codes += first;
            continue;
        }
        // The range of the second byte rules out overlong forms and surrogates.
        unsigned char low = 0x80, high = 0xBF;
        int following = 0;
        char32_t code = 0;
        if (first >= 0xC2 && first <= 0xDF) {
            following = 1;
            code = first & 0x1Fu;
        } else if (first >= 0xE0 && first <= 0xEF) {
            following = 2;
            code = first & 0x0Fu;
            if (first == 0xE0) low = 0xA0;
            if (first == 0xED) high = 0x9F;
        } else if (first >= 0xF0 && first <= 0xF4) {
            following = 3;
            code = first & 0x07u;
            if (first == 0xF0) low = 0x90;
            if (first == 0xF4) high = 0x8F;
        } else {
            codes += replacement_character;
            continue;
        }
        while (following > 0 && i < text.size()) {
            const auto next = static_cast<unsigned char>(text[i]);
            if (next < low || next > high) break;
            low = 0x80;
            high = 0xBF;
            code = (code << 6) | (next & 0x3Fu);
            ++i;
            --following;
        }
        codes += following == 0 ? code : replacement_character;
    }
    return codes;
}

inline std::string encode_utf8(std::u32string_view codes) {
    std::string text;
    text.reserve(codes.size());
    for (const char32_t code : codes) append_utf8(text, code);
    return text;
}

// `text` with everything that is not UTF-8 replaced by U+FFFD.
inline std::string repaired_utf8(std::string_view text) { return encode_utf8(decode_utf8(text)); }

}  // namespace dalle2
