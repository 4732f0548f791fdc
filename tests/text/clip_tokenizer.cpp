#include <dalle2/text/clip_tokenizer.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <numeric>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <dalle2/io/crc32.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/text/bpe_trainer.hpp>

#include "../io/temporary_folder.hpp"

using namespace dalle2;

namespace {

#ifndef DALLE2_SOURCE_DIR
#define DALLE2_SOURCE_DIR "."
#endif
const std::filesystem::path golden =
    std::filesystem::path(DALLE2_SOURCE_DIR) / "tests" / "text" / "golden";
const std::filesystem::path shipped_model =
    std::filesystem::path(DALLE2_SOURCE_DIR) / "examples" / "models" / "emoji-scenes";
// OpenAI's list of merges, if it lies beside the project.
const std::filesystem::path openai_file = std::filesystem::path(DALLE2_SOURCE_DIR) / ".." /
                                          "shared" / "data" / "bpe_simple_vocab_16e6.txt.gz";

const std::vector<std::string> texts = {
    "a red apple on a blue background",  "an owl above a snowman on a pink background",
    "a purple wolf left of an elephant", "the grinning face's hat, 12 times: it's a café!",
    "a green apple below a red owl",     "ein weißer Schneemann rechts der Eule",
};

ClipTokenizer short_tokenizer(std::int64_t max_length = 12) {
    ClipTokenizerOptions options;
    options.max_length = max_length;
    return ClipTokenizer(train_bpe(texts), options);
}

// Compares the tokens of every golden string.
void check_golden(const ClipTokenizer& tokenizer, const Json& set) {
    std::size_t different = 0;
    for (std::size_t i = 0; i < set["texts"].size(); ++i) {
        const auto text = set["texts"][i].get<std::string>();
        std::string ids;
        for (const std::int32_t id : tokenizer.encode(text))
            ids += (ids.empty() ? "" : " ") + std::to_string(id);
        if (ids == set["ids"][i].get<std::string>()) continue;
        if (++different <= 5) CHECK_MESSAGE(ids == set["ids"][i].get<std::string>(), text);
    }
    CHECK(different == 0);
    CHECK(set["texts"].size() > 0);
}

}  // namespace

TEST_CASE("tokens of OpenAI's vocabulary are those of transformers") {
    if (!std::filesystem::exists(openai_file)) {
        MESSAGE("skipped: no " << openai_file.string());
        return;
    }
    const Json sets = read_json(golden / "openai_tokens.json");
    REQUIRE(sets.size() == 2);
    for (const Json& set : sets) {
        ClipTokenizerOptions options;
        const auto pad = set["pad"].get<std::string>();
        options.pad = {pad, pad == options.end.content};
        const ClipTokenizer tokenizer = ClipTokenizer::from_openai_file(openai_file, options);
        CHECK(tokenizer.vocabulary_size() == 49408);
        CHECK(tokenizer.start_id() == 49406);
        CHECK(tokenizer.end_id() == 49407);
        check_golden(tokenizer, set);
    }
}

TEST_CASE("tokens of strings of every kind are those of transformers, fast and slow") {
    const Json golden_strings = read_json(golden / "corpus.json");
    const Json& strings = golden_strings["texts"];
    REQUIRE(strings.size() > 3000);
    for (const auto& [name, behaviour] : {std::pair("fast", TokenizerBehaviour::fast),
                                          std::pair("slow", TokenizerBehaviour::slow)}) {
        const ClipTokenizer tokenizer = ClipTokenizer::from_path(shipped_model, behaviour);
        const auto sums = golden_strings[name].get<std::string>();
        REQUIRE(sums.size() == 4 * strings.size());
        std::size_t different = 0;
        for (std::size_t i = 0; i < strings.size(); ++i) {
            std::string text;
            if (strings[i].is_string()) {
                text = strings[i].get<std::string>();
            } else {
                const auto digits = strings[i][0].get<std::string>();
                for (std::size_t at = 0; at < digits.size(); at += 2)
                    text += static_cast<char>(std::stoi(digits.substr(at, 2), nullptr, 16));
            }
            std::string ids;
            for (const std::int32_t id : tokenizer.encode(text))
                ids += (ids.empty() ? "" : " ") + std::to_string(id);
            const auto sum = std::stoul(sums.substr(4 * i, 4), nullptr, 16);
            if ((detail::crc32(ids) & 0xFFFF) == sum) continue;
            if (++different <= 5) MESSAGE(name << ": " << strings[i].dump());
        }
        CHECK(different == 0);
    }
}

TEST_CASE("a pair is merged everywhere in a word first by the slow tokenizer alone") {
    BpeVocabulary vocabulary;
    vocabulary.tokens = byte_tokens();
    for (const char* token : {"xy", "xyx", "<|startoftext|>", "<|endoftext|>"})
        vocabulary.tokens.push_back(token);
    vocabulary.merges = {{"xy", "x"}, {"x", "y"}};
    ClipTokenizerOptions options;
    CHECK(ClipTokenizer(vocabulary, options).pieces("xyxyz") ==
          std::vector<std::string>{"xyx", "y", "z</w>"});
    options.behaviour = TokenizerBehaviour::slow;
    CHECK(ClipTokenizer(vocabulary, options).pieces("xyxyz") ==
          std::vector<std::string>{"xy", "xy", "z</w>"});
}

TEST_CASE("tokens of a small vocabulary of our own are those of transformers") {
    const ClipTokenizer tokenizer = ClipTokenizer::from_directory(golden / "small_tokenizer");
    check_golden(tokenizer, read_json(golden / "small_tokens.json")[0]);
}

TEST_CASE("learning from the same texts gives the vocabulary that was learned before") {
    const ClipTokenizer saved = ClipTokenizer::from_directory(golden / "small_tokenizer");
    const BpeVocabulary learned = train_bpe(texts);
    CHECK(learned.tokens == saved.vocabulary().tokens);
    CHECK(learned.merges == saved.vocabulary().merges);
}

TEST_CASE("a saved tokenizer is read back as it was") {
    TemporaryFolder folder;
    ClipTokenizerOptions options;
    options.max_length = 20;
    options.pad = {"!", false};
    const ClipTokenizer tokenizer(train_bpe(texts), options);
    tokenizer.save(folder / "tokenizer");
    const ClipTokenizer read = ClipTokenizer::from_directory(folder / "tokenizer");
    CHECK(read.vocabulary().tokens == tokenizer.vocabulary().tokens);
    CHECK(read.vocabulary().merges == tokenizer.vocabulary().merges);
    CHECK(read.max_length() == 20);
    CHECK(read.pad_id() == 0);
    CHECK(read.encode("red! <|ENDOFTEXT|>") == tokenizer.encode("red! <|ENDOFTEXT|>"));
    CHECK(read.encode("!") == std::vector<std::int32_t>{0});
}

TEST_CASE("a prompt is framed by start and end, and padded") {
    const ClipTokenizer tokenizer = short_tokenizer();
    const Tokens tokens = tokenizer("A  red\napple");
    const std::int32_t end = tokenizer.end_id();
    const auto word = [&](const char* text) { return tokenizer.encode(text).at(0); };
    CHECK(tokens.ids == std::vector<std::int32_t>{tokenizer.start_id(), word("a"), word("red"),
                                                  word("apple"), end, end, end, end, end, end, end,
                                                  end});
    CHECK(tokens.mask == std::vector<std::int32_t>{1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0});
    CHECK(tokens.length == 5);
    CHECK_FALSE(tokens.truncated);
    CHECK(tokens.dropped.empty());
}

TEST_CASE("the empty prompt is start, end and padding") {
    const ClipTokenizer tokenizer = short_tokenizer(4);
    for (const char* text : {"", " ", "\n\t\xC2\xA0"}) {
        const Tokens tokens = tokenizer(text);
        CHECK(tokens.length == 2);
        CHECK(tokens.ids.size() == 4);
        CHECK_FALSE(tokens.truncated);
    }
}

TEST_CASE("what does not fit is dropped from the end, and named") {
    const ClipTokenizer tokenizer = short_tokenizer(5);
    const Tokens fits = tokenizer("red apple owl");
    CHECK_FALSE(fits.truncated);
    CHECK(fits.length == 5);
    const Tokens tokens = tokenizer("red apple owl on a snowman");
    CHECK(tokens.truncated);
    CHECK(tokens.dropped == "on a snowman");
    CHECK(tokens.ids == fits.ids);
    CHECK(std::accumulate(tokens.mask.begin(), tokens.mask.end(), 0) == 5);
}

TEST_CASE("a word that fits only in part is named as a whole") {
    const ClipTokenizer tokenizer = short_tokenizer(5);
    REQUIRE(tokenizer.encode("owl zebra").size() == 6);
    CHECK(tokenizer("owl zebra").dropped == "zebra");
    CHECK(tokenizer("red apple owl zebra").dropped == "zebra");
    // Four bytes, the last of them alone too many.
    const ClipTokenizer longer = short_tokenizer(6);
    REQUIRE(longer.encode("owl \xF0\x9F\xA6\x89").size() == 5);
    CHECK(longer("owl \xF0\x9F\xA6\x89").dropped == "\xF0\x9F\xA6\x89");
    // A special token is no part of the word behind it.
    CHECK(tokenizer("red apple <|endoftext|> zebra").dropped == "zebra");
}

TEST_CASE("decoding gives the words back in lower case") {
    const ClipTokenizer tokenizer = short_tokenizer();
    CHECK(tokenizer.decode(tokenizer.encode("A RED Apple, zebra café 🦉")) ==
          "a red apple , zebra café 🦉");
    CHECK(tokenizer.decode(tokenizer("a red apple").ids) == "a red apple");
    CHECK(tokenizer.decode({tokenizer.start_id()}, true) == "<|startoftext|>");
    CHECK(tokenizer.decode({}).empty());
    CHECK_THROWS_AS(tokenizer.decode({-1}), ConfigError);
    CHECK_THROWS_AS(tokenizer.decode({tokenizer.vocabulary_size()}), ConfigError);
    CHECK(tokenizer.pieces("red apple") == std::vector<std::string>{"red</w>", "apple</w>"});
}

TEST_CASE("bytes that are not UTF-8 count as the replacement character") {
    const ClipTokenizer tokenizer = short_tokenizer();
    const auto same = [&](const std::string& broken, const std::string& repaired) {
        CHECK(tokenizer.encode(broken) == tokenizer.encode(repaired));
    };
    const std::string r = "\xEF\xBF\xBD";
    same(
        "a\xFF"
        "b",
        "a" + r + "b");
    same("\xC3", r);
    same("\xE2\x82", r);
    same(
        "\xE2\x82"
        "a",
        r + "a");
    same("\xC0\x80", r + r);
    same("\xED\xA0\x80", r + r + r);
    same("\xF4\x90\x80\x80", r + r + r + r);
    same("\xF0\x9F\xA6", r);
    same("\x80\x80", r + r);
}

TEST_CASE("prompts of a hundred thousand characters take a fraction of a second") {
    ClipTokenizerOptions options;
    const ClipTokenizer fast(train_bpe(texts), options);
    options.behaviour = TokenizerBehaviour::slow;
    const ClipTokenizer slow(train_bpe(texts), options);
    std::vector<std::string> prompts = {std::string(100000, 'a'), std::string(100000, '\xff'),
                                        std::string(100000, '\0'), std::string(100000, '<'),
                                        std::string(100000, '7')};
    std::string marks, words, sigmas, starts;
    for (int i = 0; i < 50000; ++i) sigmas += "Σ'";
    for (int i = 0; i < 10000; ++i) starts += "<|startoft";
    prompts.push_back(sigmas);
    prompts.push_back(starts);
    for (int i = 0; i < 50000; ++i) marks += "\xCC\x81\xCC\x96";  // each pair is out of order
    for (int i = 0; i < 16000; ++i) words += "apple ";
    prompts.push_back(marks);
    prompts.push_back(words);
    for (const std::string& prompt : prompts)
        for (const ClipTokenizer* tokenizer : {&fast, &slow}) {
            const auto begin = std::chrono::steady_clock::now();
            const Tokens tokens = (*tokenizer)(prompt);
            const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
            // The slow one drops zero bytes and bytes that are not UTF-8.
            const bool all_dropped =
                tokenizer == &slow && (prompt[0] == '\0' || prompt[0] == '\xff');
            CHECK(tokens.truncated == !all_dropped);
            CHECK(tokens.ids.size() == 77);
            CHECK(time.count() < 5.0);  // some 0.02 s; a quadratic loop would take minutes
        }
}

TEST_CASE("merging in candidates' order equals merging the earliest pair again and again") {
    const ClipTokenizer tokenizer = short_tokenizer();
    const auto& vocabulary = tokenizer.vocabulary();
    const auto characters = byte_characters();
    for (const std::string word :
         {"apple", "applepurple", "snowmanowl", "eeeeeeee", "x", "backgroundabove"}) {
        std::vector<std::string> symbols;
        for (const char c : word)
            append_utf8(symbols.emplace_back(), characters[static_cast<unsigned char>(c)]);
        symbols.back() += end_of_word;
        for (bool merged = true; merged;) {
            merged = false;
            for (const auto& [left, right] : vocabulary.merges) {
                for (std::size_t i = 0; i + 1 < symbols.size() && !merged; ++i)
                    if (symbols[i] == left && symbols[i + 1] == right) {
                        symbols[i] += right;
                        symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
                        merged = true;
                    }
                if (merged) break;
            }
        }
        CHECK(tokenizer.pieces(word) == symbols);
    }
}

TEST_CASE("files of a tokenizer that are missing or wrong are errors that name them") {
    TemporaryFolder folder;
    const auto open = [&] { return ClipTokenizer::from_directory(folder / "t"); };
    CHECK_THROWS_WITH_AS(open(), doctest::Contains("no tokenizer"), IoError);
    const auto reset = [&] { short_tokenizer().save(folder / "t"); };
    reset();
    CHECK_NOTHROW(open());
    std::filesystem::remove(folder / "t/merges.txt");
    CHECK_THROWS_WITH_AS(open(), doctest::Contains("merges.txt"), IoError);
    reset();
    std::filesystem::remove(folder / "t/vocab.json");
    CHECK_THROWS_WITH_AS(open(), doctest::Contains("vocab.json"), IoError);
    const auto vocabulary = [&](const char* text) {
        reset();
        folder.write("t/vocab.json", text);
        CHECK_THROWS_WITH_AS(open(), doctest::Contains("vocab.json"), FormatError);
    };
    vocabulary("");
    vocabulary("[]");
    vocabulary("{\"a\": 0, \"a\": 1}");
    vocabulary("{\"a\": 1}");
    vocabulary("{\"a\": -1}");
    vocabulary("{\"a\": 0.5}");
    vocabulary("{\"a\": \"0\"}");
    vocabulary("{\"a\": 0, \"b\": 0}");
    vocabulary("{\"a\": 0, \"b\": 2}");
    vocabulary("{\"a\": 18446744073709551616}");
    vocabulary(("{\"a\":[" + std::string(500000, ',') + "0]}").c_str());
    vocabulary(("{\"a\":" + std::string(100000, '[')).c_str());
    vocabulary(("{\"a\": 0" + std::string(17u << 20, ' ') + "}").c_str());
    reset();
    folder.write("t/vocab.json", "{\"a\": 0}");
    CHECK_THROWS_WITH_AS(open(), doctest::Contains("missing"), FormatError);
    for (const char* merges :
         {"#version\nab\n", "#version\na b c\n", "#version\n a\n", "#version\na \n",
          "#version\na b\n\na b\n", "#version\nzz zz\n", "#version\n\xff \xff\n"}) {
        reset();
        folder.write("t/merges.txt", merges);
        CHECK_THROWS_AS(open(), FormatError);
    }
    for (const char* config : {R"({"model_max_length": 1})", R"({"model_max_length": -5})",
                               R"({"model_max_length": "77"})", R"({"model_max_length": 77.5})",
                               R"({"model_max_length": 1000000000000})", R"({"bos_token": 3})",
                               R"({"eos_token": {"content": "!", "lstrip": true}})",
                               R"({"tokenizer_class": "T5Tokenizer"})",
                               R"({"padding_side": "left"})", R"({"truncation_side": "left"})",
                               R"({"added_tokens_decoder": {"9999": {"content": "x"}}})",
                               R"({"added_tokens_decoder": {"0": {"content": "x"}}})",
                               R"({"added_tokens_decoder": {"-1": {"content": "x"}}})",
                               R"({"additional_special_tokens": ["nope"]})"}) {
        reset();
        folder.write("t/tokenizer_config.json", config);
        CHECK_THROWS_AS(open(), ConfigError);
    }
    for (const char* map :
         {R"({"pad_token": "nope"})", R"({"pad_token": ""})", R"({"pad_token": {"content": 1}})",
          R"({"additional_special_tokens": "x"})"}) {
        reset();
        folder.write("t/special_tokens_map.json", map);
        CHECK_THROWS_AS(open(), ConfigError);
    }
    reset();
    folder.write("t/tokenizer_config.json", "{");
    CHECK_THROWS_AS(open(), FormatError);
    folder.write("t/tokenizer_config.json",
                 R"({"model_max_length": 1000000000000000019884624838656})");
    CHECK(open().max_length() == 77);
}

TEST_CASE("a damaged gzip file is a FormatError") {
    TemporaryFolder folder;
    // gzip of "hello\n", made by the gzip program; no list of merges.
    const std::string good(
        "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\xe7\x02\x00\x20\x30\x3a\x36"
        "\x06\x00\x00\x00",
        26);
    CHECK(gunzip(good, "hello.gz") == "hello\n");
    for (std::size_t length = 0; length < good.size(); ++length)
        CHECK_THROWS_AS(gunzip(good.substr(0, length), "cut.gz"), FormatError);
    for (const std::size_t i : {0u, 1u, 2u, 11u, 14u, 18u, 19u, 22u}) {
        std::string bad = good;
        bad[i] = static_cast<char>(bad[i] ^ 1);
        CHECK_THROWS_AS(gunzip(bad, "bad.gz"), FormatError);
    }
    folder.write("merges.gz", good);
    CHECK_THROWS_WITH_AS(ClipTokenizer::from_openai_file(folder / "merges.gz"),
                         doctest::Contains("#version"), FormatError);
    CHECK_THROWS_AS(ClipTokenizer::from_openai_file(folder / "none.gz"), IoError);
}
