#include <dalle2/text/tokenizer_json.hpp>

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include <dalle2/text/clip_tokenizer.hpp>

#include "../io/temporary_folder.hpp"
#include "tokenizer_folder.hpp"

using namespace dalle2;

namespace {

using Ids = std::vector<std::int32_t>;

// Opens a tokenizer.json that differs from a good one in the value at a JSON pointer.
ClipTokenizer open_with(const std::string& pointer, const std::string& value) {
    const TemporaryFolder folder;
    Json json = small_tokenizer_json(true);
    json[Json::json_pointer(pointer)] = Json::parse(value);
    folder.write("tokenizer.json", json.dump());
    return ClipTokenizer::from_path(folder / "tokenizer.json");
}

}  // namespace

TEST_CASE("tokenizer.json gives the tokens of vocab.json and merges.txt, in both its forms") {
    const ClipTokenizer tokenizer = small_tokenizer();
    const std::string text = "A red  owl's table: caf\u00E9 <|ENDOFTEXT|> 12!";
    for (const bool lists : {true, false}) {
        const TemporaryFolder folder;
        folder.write("tokenizer.json", small_tokenizer_json(lists).dump());
        for (const auto& path : {folder.path(), folder / "tokenizer.json"}) {
            const ClipTokenizer read = ClipTokenizer::from_path(path);
            CHECK(read.vocabulary().tokens == tokenizer.vocabulary().tokens);
            CHECK(read.vocabulary().merges == tokenizer.vocabulary().merges);
            CHECK(read.encode(text) == tokenizer.encode(text));
            CHECK(read.max_length() == 77);
            CHECK(read.pad_id() == read.end_id());
            CHECK(read.start_id() == tokenizer.start_id());
        }
        const ClipTokenizer slow =
            ClipTokenizer::from_path(folder.path(), TokenizerBehaviour::slow);
        CHECK(slow.encode("a\u200Bb") == slow.encode("ab"));
    }
}

TEST_CASE("the fast class reads tokenizer.json where there is one, the slow class the others") {
    const TemporaryFolder folder;
    write_small_tokenizer(folder, "t");
    Json json = small_tokenizer_json(true);
    json["model"]["merges"].clear();
    folder.write("t/tokenizer.json", json.dump());
    CHECK(ClipTokenizer::from_path(folder / "t", TokenizerBehaviour::fast).encode("owl").size() ==
          3);
    CHECK(ClipTokenizer::from_path(folder / "t", TokenizerBehaviour::slow).encode("owl").size() ==
          1);
}

TEST_CASE("what tokenizer.json says of a token goes before tokenizer_config.json") {
    const TemporaryFolder folder;
    Json json = small_tokenizer_json(true);
    const Ids end{small_tokenizer().end_id()};
    const std::string decoder = "{\"added_tokens_decoder\": {\"" + std::to_string(end[0]) +
                                "\": {\"content\": \"<|endoftext|>\", \"special\": true, "
                                "\"normalized\": ";
    folder.write("tokenizer.json", json.dump());
    folder.write("tokenizer_config.json", decoder + "false}}}");
    CHECK(ClipTokenizer::from_path(folder.path()).encode("<|ENDOFTEXT|>") == end);
    json["added_tokens"][1]["normalized"] = false;
    folder.write("tokenizer.json", json.dump());
    folder.write("tokenizer_config.json", decoder + "true}}}");
    CHECK(ClipTokenizer::from_path(folder.path()).encode("<|ENDOFTEXT|>") != end);
    CHECK(ClipTokenizer::from_path(folder.path()).encode("<|endoftext|>") == end);
    folder.write("tokenizer_config.json", R"({"pad_token": "!", "model_max_length": 9})");
    CHECK(ClipTokenizer::from_path(folder.path()).pad_id() == 0);
    CHECK(ClipTokenizer::from_path(folder.path()).max_length() == 9);
}

TEST_CASE("a tokenizer.json by itself says how to pad and to truncate") {
    const auto padded = open_with("/padding", R"({"strategy": {"Fixed": 77}, "direction": "Right",
        "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "!"})");
    CHECK(padded.pad_id() == 0);
    const auto truncated = open_with("/truncation", R"({"direction": "Right", "max_length": 16,
        "strategy": "LongestFirst", "stride": 0})");
    CHECK(truncated.max_length() == 16);
    // Older files: without the type of the model, with the frame's words in the expression.
    const auto old = open_with(
        "/pre_tokenizer/pretokenizers/0/pattern/Regex",
        R"("<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+")");
    CHECK(old.encode("red owl").size() == 2);
}

TEST_CASE("a tokenizer.json that is not CLIP's is refused with the key that says so") {
    const std::vector<std::pair<std::string, std::string>> others = {
        {"/normalizer", "null"},
        {"/normalizer/normalizers/0/type", "\"NFKC\""},
        {"/normalizer/normalizers", "[]"},
        {"/pre_tokenizer/type", "\"ByteLevel\""},
        {"/pre_tokenizer/pretokenizers/0/pattern/Regex", "\"a+\""},
        {"/pre_tokenizer/pretokenizers/1/add_prefix_space", "true"},
        {"/post_processor/type", "\"TemplateProcessing\""},
        {"/post_processor/cls", "[1, 2]"},
        {"/model/type", "\"WordPiece\""},
        {"/model/dropout", "0.1"},
        {"/model/end_of_word_suffix", "null"},
        {"/model/continuing_subword_prefix", "\"##\""},
        {"/model/byte_fallback", "true"},
        {"/truncation", R"({"direction": "Left", "max_length": 77, "strategy": "x", "stride": 0})"},
        {"/padding/direction", "\"Left\""},
        {"/added_tokens/0/single_word", "true"},
        {"/added_tokens/0/id", "99999"},
        {"/added_tokens/0/id", "0"},
        {"/added_tokens/1/id", "\"1\""},
        {"/added_tokens", "{}"},
        {"/surprise", "1"}};
    for (const auto& [pointer, value] : others) {
        CAPTURE(pointer);
        const std::string key = pointer.substr(1, pointer.find('/', 1) - 1);
        // A number that is taken is said of the token.
        const bool is_number = pointer.ends_with("/id");
        CHECK_THROWS_WITH_AS(open_with(pointer, value),
                             doctest::Contains(is_number ? "added" : key.c_str()), ConfigError);
    }
}

TEST_CASE("a vocabulary in tokenizer.json that contradicts itself is a FormatError") {
    for (const auto& [pointer, value] :
         std::vector<std::pair<std::string, std::string>>{{"/model/vocab", "[]"},
                                                          {"/model/vocab/red", "0"},
                                                          {"/model/vocab/red", "-1"},
                                                          {"/model/vocab/red", "1e300"},
                                                          {"/model/vocab/red", "99999"},
                                                          {"/model/merges", "{}"},
                                                          {"/model/merges/0", "3"},
                                                          {"/model/merges/0", "[\"a\"]"},
                                                          {"/model/merges/0", "[\"a\", 1]"},
                                                          {"/model/merges/0", "\"ab\""},
                                                          {"/model/merges/0", "\"a  b\""},
                                                          {"/model/merges/0", "[\"zz\", \"a\"]"}}) {
        CAPTURE(pointer);
        CAPTURE(value);
        CHECK_THROWS_AS(open_with(pointer, value), FormatError);
    }
}

TEST_CASE("hostile files are refused at once") {
    const TemporaryFolder folder;
    const auto refused = [&](const std::string& text) {
        folder.write("t.json", text);
        CHECK_THROWS_AS(ClipTokenizer::from_path(folder / "t.json"), Error);
    };
    const std::string good = small_tokenizer_json(false).dump();
    CHECK_THROWS_AS(ClipTokenizer::from_path(folder / "none.json"), IoError);
    CHECK_THROWS_AS(ClipTokenizer::from_path(folder.path()), IoError);
    refused("");
    refused("a text");
    refused("{");
    refused("{}");
    refused("[" + good + "]");
    refused(std::string(1000000, '['));
    refused("{" + std::string(200000, ' '));
    refused(std::string("{\0", 2));
    refused("{\"model\": 1, \"model\": 2}");
    refused(good + std::string(17u << 20, ' '));
    refused("\x1F\x8B not gzip");
    for (std::size_t length = 0; length < good.size(); length += 97)
        refused(good.substr(0, length));
}
