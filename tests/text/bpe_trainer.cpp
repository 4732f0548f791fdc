#include <dalle2/text/bpe_trainer.hpp>

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

using namespace dalle2;

namespace {

const std::vector<std::string> scenes = {"a purple elephant left of a red apple",
                                         "purple people eat purple apples",
                                         "the owl's hat: 12 hats!", "Größe, größer"};

}  // namespace

TEST_CASE("with enough merges every word of the scenes is one token") {
    const ClipTokenizer tokenizer(train_bpe(scenes));
    for (const char* word : {"a", "purple", "elephant", "left", "apple", "apples", "people",
                             "größe", "größer", "hats"})
        CHECK(tokenizer.encode(word).size() == 1);
    CHECK(tokenizer.encode("elephants").size() > 1);
    CHECK(tokenizer.encode("Purple").size() == 1);
}

TEST_CASE("the most frequent pair is merged first, and the number of merges is bounded") {
    const BpeVocabulary one = train_bpe({"ab ab ab cd cd"}, 1);
    REQUIRE(one.merges.size() == 1);
    CHECK(one.merges[0] == std::pair<std::string, std::string>{"a", "b</w>"});
    CHECK(one.tokens.size() == 512 + 1 + 2);
    CHECK(one.tokens[512] == "ab</w>");
    CHECK(one.tokens[513] == "<|startoftext|>");
    CHECK(one.tokens[514] == "<|endoftext|>");
    CHECK(train_bpe({"ab cd"}, 0).tokens.size() == 514);
    CHECK(train_bpe({}).tokens.size() == 514);
    CHECK(train_bpe({"x"}).merges.empty());
}

TEST_CASE("equally frequent pairs are merged in the order of their ids") {
    const BpeVocabulary vocabulary = train_bpe({"cd ab ef"});
    REQUIRE(vocabulary.merges.size() == 3);
    CHECK(vocabulary.merges[0].first == "a");
    CHECK(vocabulary.merges[1].first == "c");
    CHECK(vocabulary.merges[2].first == "e");
}

TEST_CASE("the counts after each merge are those of counting afresh") {
    const BpeVocabulary vocabulary = train_bpe(scenes);
    // Replays the merges on the words and checks that each was the most frequent pair of its time.
    std::map<std::vector<std::string>, std::int64_t> words;
    const auto characters = byte_characters();
    for (const std::string& text : scenes)
        for_each_word(lower_case(normalized_nfc(decode_utf8(text))), [&](std::u32string_view word) {
            std::vector<std::string> symbols;
            for (const char c : encode_utf8(word))
                append_utf8(symbols.emplace_back(), characters[static_cast<unsigned char>(c)]);
            symbols.back() += end_of_word;
            ++words[symbols];
        });
    for (const auto& merge : vocabulary.merges) {
        std::map<std::pair<std::string, std::string>, std::int64_t> counts;
        for (const auto& [symbols, count] : words)
            for (std::size_t i = 0; i + 1 < symbols.size(); ++i)
                counts[{symbols[i], symbols[i + 1]}] += count;
        std::int64_t most = 0;
        for (const auto& [pair, count] : counts) most = std::max(most, count);
        REQUIRE(counts[merge] == most);
        std::map<std::vector<std::string>, std::int64_t> next;
        for (const auto& [symbols, count] : words) {
            std::vector<std::string> merged;
            for (std::size_t i = 0; i < symbols.size(); ++i) {
                const bool here = i + 1 < symbols.size() && symbols[i] == merge.first &&
                                  symbols[i + 1] == merge.second;
                merged.push_back(here ? symbols[i] + symbols[i + 1] : symbols[i]);
                if (here) ++i;
            }
            next[merged] += count;
        }
        words = next;
    }
    for (const auto& [symbols, count] : words) CHECK(symbols.size() == 1);
}

TEST_CASE("a token that two pairs make is in the vocabulary once") {
    // "aaa": (a a) then (aa a</w>); repeated letters overlap in every way.
    const BpeVocabulary vocabulary = train_bpe({"aaaa aaa aa aaaaa baaab abaab"});
    CHECK_NOTHROW(ClipTokenizer{vocabulary});
}
