#include <dalle2/text/basic_tokenizer.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <dalle2/text/word_splitter.hpp>

using namespace dalle2;

TEST_CASE("a sigma at the end of a word becomes the final one, as in Python") {
    // Each beside what Python 3.11 prints for it.
    CHECK(python_lower_case(U"ΣΑΣ") == U"σας");
    CHECK(python_lower_case(U"Σ") == U"σ");
    CHECK(python_lower_case(U"ΑΣ.") == U"ας.");
    CHECK(python_lower_case(U"ΑΣ.Α") == U"ασ.α");
    CHECK(python_lower_case(U"1Σ") == U"1σ");
    CHECK(python_lower_case(U"Α1Σ") == U"α1σ");
    CHECK(python_lower_case(U"Α'Σ'") == U"α'ς'");
    CHECK(python_lower_case(U"ΑΣ\u0301") == U"ας\u0301");
    CHECK(python_lower_case(U"ΑΣ\u0301Α") == U"ασ\u0301α");
    CHECK(python_lower_case(U"ⅠΣ ªΣ ʰΣ") == U"ⅰς ªς ʰσ");
    CHECK(python_lower_case(U"ΣΣ") == U"σς");
    CHECK(python_lower_case(U"İΣ") == U"i\u0307ς");
}

TEST_CASE("control characters vanish, Chinese ones stand apart, spaces are one") {
    CHECK(basic_tokenized(U"  A \t\r\n Red\u3000apple ") == U"a red apple");
    CHECK(basic_tokenized(U"a\u000Bb\u0085c\u200Dd\u00ADe\uFEFFf\uE000g\uFFFDh") == U"abcdefgh");
    CHECK(basic_tokenized(std::u32string(U"a\0b", 3)) == U"ab");
    CHECK(basic_tokenized(U"a\u2028b\u2029c") == U"a b c");
    CHECK(basic_tokenized(U"紅いリンゴ") == U"紅 いリンゴ");
    CHECK(basic_tokenized(U"x龜\U00020000y") == U"x 龜 \U00020000 y");
    CHECK(basic_tokenized(U"\uF900") == U"\u8C48");  // a compatibility ideograph
    CHECK(basic_tokenized(U"e\u0301") == U"é");
    CHECK(basic_tokenized(U"🧑\u200D🚀 \U0001FAE8!") == U"🧑🚀 !");
    CHECK(basic_tokenized(U" \u200B ") == U"");
    CHECK(basic_tokenized(U"") == U"");
}

TEST_CASE("the slow expression knows the frame's words, ſ as an s, and not U+0345") {
    const auto words = [](std::u32string_view text) {
        std::vector<std::string> result;
        for_each_slow_word(text,
                           [&](std::u32string_view word) { result.push_back(encode_utf8(word)); });
        return result;
    };
    using Words = std::vector<std::string>;
    CHECK(words(U"it'ſ it's") == Words{"it", "'ſ", "it", "'s"});
    CHECK(words(U"<|startoftext|>a<|endoftext|>") ==
          Words{"<|startoftext|>", "a", "<|endoftext|>"});
    CHECK(words(U"!<|endoftext|>") == Words{"!<|", "endoftext", "|>"});
    CHECK(words(U"<|ſtartoftext|>") == Words{"<|ſtartoftext|>"});
    CHECK(words(U"<|endoftext") == Words{"<|", "endoftext"});
    CHECK(words(U"!\u0345!") == Words{"!", "!"});
    CHECK(words(U"a 1½") == Words{"a", "1", "½"});
}
