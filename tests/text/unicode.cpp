#include <dalle2/text/unicode.hpp>

#include <doctest/doctest.h>

#include <dalle2/text/word_splitter.hpp>

#include <string>
#include <vector>

using namespace dalle2;

namespace {

std::vector<std::string> words(const std::u32string& text) {
    std::vector<std::string> result;
    for_each_word(text, [&](std::u32string_view word) { result.push_back(encode_utf8(word)); });
    return result;
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("code points survive the way to UTF-8 and back") {
    std::u32string codes;
    for (char32_t code = 0; code < 0x110000; code += code < 0x3000 ? 1 : 251)
        if (code < 0xD800 || code > 0xDFFF) codes += code;
    codes += U'\U0010FFFF';
    CHECK(decode_utf8(encode_utf8(codes)) == codes);
}

TEST_CASE("every pair of bytes decodes to something that encodes again") {
    for (int a = 0; a < 256; ++a)
        for (int b = 0; b < 256; ++b) {
            const std::string text = {static_cast<char>(a), static_cast<char>(b)};
            const std::string repaired = repaired_utf8(text);
            REQUIRE(repaired_utf8(repaired) == repaired);
            REQUIRE((a >= 128 || b >= 128 || repaired == text));
        }
}

TEST_CASE("normal form C composes, orders marks, and leaves the excluded apart") {
    CHECK(normalized_nfc(U"e\u0301") == U"\u00E9");
    CHECK(normalized_nfc(U"a\u0307\u0323") == U"\u1EA1\u0307");
    CHECK(normalized_nfc(U"\u212B\u2126") == U"\u00C5\u03A9");
    CHECK(normalized_nfc(U"\u1100\u1161\u11A8") == U"\uAC01");
    CHECK(normalized_nfc(U"\u0958") == U"\u0915\u093C");
    CHECK(normalized_nfc(U"\uFB01") == U"\uFB01");
    CHECK(normalized_nfc(U"") == U"");
    CHECK(normalized_nfc(U"\u0301\u0316") == U"\u0316\u0301");
}

TEST_CASE("lower case goes character by character") {
    CHECK(lower_case(U"ÀÉ ΣΑΣ ẞ АБ") == U"àé σασ ß аб");
    CHECK(lower_case(U"\u0130") == U"i\u0307");
    CHECK(lower_case(U"ß ﬁ 1") == U"ß ﬁ 1");
}

TEST_CASE("characters of later versions of Unicode are what the reference takes them for") {
    // Unicode 15: an emoji and a letter; 16: a capital; 17: a letter that tokenizers does not know.
    CHECK(is_control(U'\U0001FAE8'));
    CHECK_FALSE(is_control(U'\U0001FAE0'));
    CHECK(is_letter(U'\U00031350'));
    CHECK(is_letter(U'\uA7CB'));
    CHECK(lower_case(U"\uA7CB\U00010D50") == U"\u0264\U00010D70");
    CHECK_FALSE(is_letter(U'\u088F'));
    CHECK(is_number(U'\U00010D40'));
    CHECK_FALSE(is_letter(U'\u0378'));  // not assigned in any
    CHECK(is_control(U'\u0378'));
}

TEST_CASE("characters that a normalisation does not know stay where they are") {
    const auto unknown = [](char32_t code) { return code == U'\u0316'; };
    CHECK(normalized_nfc(U"a\u0316\u0301") == U"\u00E1\u0316");
    CHECK(normalized_nfc(U"a\u0316\u0301", unknown) == U"a\u0316\u0301");
    CHECK(normalized_nfc(U"a\u0301\u0316\u0316e\u0301", unknown) == U"\u00E1\u0316\u0316\u00E9");
    // U+10EFD came with Unicode 15, as a mark below the letter.
    CHECK(normalized_nfc(U"a\u0301\U00010EFD") == U"\u00E1\U00010EFD");
    CHECK(normalized_nfc(U"\u0323\u0334") == U"\u0334\u0323");
}

TEST_CASE("tables of characters are in order, and searched at their ends") {
    const auto check = [](const auto& ranges) {
        char32_t last = 0;
        for (const detail::CodeRange& range : ranges) {
            CHECK(range.first > last);
            CHECK(range.last >= range.first);
            CHECK(detail::contains(ranges, range.first));
            CHECK(detail::contains(ranges, range.last));
            last = range.last;
        }
        CHECK_FALSE(detail::contains(ranges, 0));
        CHECK_FALSE(detail::contains(ranges, last + 1));
    };
    check(detail::newer_than_unicode_14);
    check(detail::newer_letters);
    check(detail::newer_numbers);
    check(detail::unknown_to_tokenizers_nfc);
    check(detail::cased_beside_letters);
    check(detail::passed_over_beside_marks);
}

TEST_CASE("text is split as CLIP's regular expression does it") {
    CHECK(words(U"a red apple") == Words{"a", "red", "apple"});
    CHECK(words(U"it's 'sun ''s we'll've") ==
          Words{"it", "'s", "'s", "un", "''", "s", "we", "'ll", "'ve"});
    CHECK(words(U"'x 're'") == Words{"'", "x", "'re", "'"});
    CHECK(words(U"3.14!?") == Words{"3", ".", "1", "4", "!?"});
    CHECK(words(U"½Ⅷ²") == Words{"½", "Ⅷ", "²"});
    CHECK(words(U"a\u0301b") == Words{"a", "\xCC\x81", "b"});
    CHECK(words(U"\u00A0a\u2003\u3000b\u0085") == Words{"a", "b"});
    CHECK(words(U"a\u200Bb") == Words{"a", "\xE2\x80\x8B", "b"});
    CHECK(words(U"日本語🦉🐘!") == Words{"日本語", "🦉🐘!"});
    CHECK(words(U"").empty());
    CHECK(words(U" \n").empty());
}
