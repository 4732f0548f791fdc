#include <dalle2/text/word_check.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

using namespace dalle2;

namespace {

const std::vector<std::string> known = {"a",       "red",      "apple", "owl",
                                        "snowman", "elephant", "on",    "Café"};

}  // namespace

TEST_CASE("a prompt of known words has no unknown ones, whatever its case and marks") {
    CHECK(unknown_words("A RED apple, on 3 owl! cafe\xCC\x81", known).empty());
    CHECK(unknown_words("", known).empty());
    CHECK(unknown_words("!!! 123", known).empty());
}

TEST_CASE("unknown words are named once, with the known words most like them") {
    const auto unknown = unknown_words("a rde Aple on a zebra and an aple", known);
    REQUIRE(unknown.size() == 5);
    CHECK(unknown[0].word == "rde");
    CHECK(unknown[0].nearest == std::vector<std::string>{"red"});
    CHECK(unknown[1].word == "aple");
    CHECK(unknown[1].nearest == std::vector<std::string>{"apple"});
    CHECK(unknown[2].word == "zebra");
    CHECK(unknown[2].nearest.empty());
    CHECK(unknown_words("snowmen", known)[0].nearest == std::vector<std::string>{"snowman"});
    CHECK(unknown_words("caf\xC3\xA9s", known)[0].nearest ==
          std::vector<std::string>{"caf\xC3\xA9"});
    CHECK(unknown_words("xyz", {}).size() == 1);
}

TEST_CASE("edit distance counts changes, swaps included") {
    CHECK(edit_distance(U"", U"") == 0);
    CHECK(edit_distance(U"abc", U"") == 3);
    CHECK(edit_distance(U"", U"abc") == 3);
    CHECK(edit_distance(U"kitten", U"sitting") == 3);
    CHECK(edit_distance(U"ab", U"ba") == 1);
    CHECK(edit_distance(U"abcd", U"acbd") == 1);
    CHECK(edit_distance(U"apple", U"apple") == 0);
}

TEST_CASE("hostile prompts are checked quickly") {
    std::string many;
    for (int i = 0; i < 20000; ++i) {
        std::string word;
        for (int n = i; word.size() < 5; n /= 26) word += static_cast<char>('a' + n % 26);
        many += word + " ";
    }
    const auto begin = std::chrono::steady_clock::now();
    CHECK(unknown_words(std::string(100000, 'x'), known).size() == 1);
    CHECK(unknown_words(many, known).size() > 10000);
    CHECK(unknown_words(std::string(100000, '\xff'), known).empty());
    CHECK(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() < 5.0);
}
