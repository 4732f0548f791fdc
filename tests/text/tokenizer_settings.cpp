#include <dalle2/text/clip_tokenizer.hpp>

#include <doctest/doctest.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "../io/temporary_folder.hpp"
#include "tokenizer_folder.hpp"

using namespace dalle2;

namespace {

struct Folder {
    TemporaryFolder folder;
    Folder() { write_small_tokenizer(folder, "t"); }
    void write(const std::string& name, const std::string& text) const {
        folder.write("t/" + name, text);
    }
    ClipTokenizer open(std::optional<TokenizerBehaviour> behaviour = {}) const {
        return ClipTokenizer::from_directory(folder / "t", behaviour);
    }
};

using Ids = std::vector<std::int32_t>;

}  // namespace

TEST_CASE(
    "special_tokens_map.json goes before tokenizer_config.json unless that lists all tokens") {
    // As transformers 4.49: Stable Diffusion 2, for one, says "!" in the first alone.
    const Folder f;
    f.write("tokenizer_config.json", R"({"pad_token": "<|endoftext|>"})");
    f.write("special_tokens_map.json", R"({"pad_token": "!"})");
    CHECK(f.open().pad_id() == 0);
    f.write("tokenizer_config.json",
            R"({"pad_token": "<|endoftext|>", "added_tokens_decoder": {}})");
    CHECK(f.open().pad_id() == f.open().end_id());
}

TEST_CASE("added tokens follow the vocabulary and stand for themselves") {
    const Folder f;
    const std::int32_t next = f.open().vocabulary_size();
    f.write("added_tokens.json", "{\"<Cat-Toy>\": " + std::to_string(next) +
                                     ", \"<dog>\": " + std::to_string(next + 1) + "}");
    for (const auto behaviour : {TokenizerBehaviour::fast, TokenizerBehaviour::slow}) {
        const ClipTokenizer tokenizer = f.open(behaviour);
        CHECK(tokenizer.vocabulary_size() == next + 2);
        CHECK(tokenizer.encode("<Cat-Toy><dog>") == Ids{next, next + 1});
        // A word that was added is normalized: the fast class finds it in lower case, too.
        CHECK((tokenizer.encode("<CAT-toy>") == Ids{next}) ==
              (behaviour == TokenizerBehaviour::fast));
        CHECK(tokenizer.decode(tokenizer.encode("a <Cat-Toy> owl")) == "a <Cat-Toy> owl");
        CHECK(tokenizer.decode({tokenizer.start_id(), next}) == "<Cat-Toy>");
    }
    f.write("added_tokens.json", "{\"<dog>\": " + std::to_string(next + 1) + "}");
    CHECK_THROWS_WITH_AS(f.open(), doctest::Contains("<dog>"), ConfigError);
    for (const char* wrong :
         {R"({"<dog>": -1})", R"({"<dog>": "1"})", R"({"<dog>": 0})", R"({"<dog>": 1e3})"}) {
        f.write("added_tokens.json", wrong);
        CHECK_THROWS_AS(f.open(), ConfigError);
    }
    std::string many = "{\"<0>\": " + std::to_string(next);
    for (int i = 1; i <= 10000; ++i)
        many += ", \"<" + std::to_string(i) + ">\": " + std::to_string(next + i);
    f.write("added_tokens.json", many + "}");
    CHECK_THROWS_WITH_AS(f.open(), doctest::Contains("special tokens; expected at most 10000"),
                         ConfigError);
    f.write("added_tokens.json",
            "{\"" + std::string(1001, 'x') + "\": " + std::to_string(next) + "}");
    CHECK_THROWS_WITH_AS(f.open(), doctest::Contains("1001 bytes"), ConfigError);
    f.write("added_tokens.json", "[]");
    CHECK_THROWS_AS(f.open(), FormatError);
}

TEST_CASE("a token that is not normalized is found as it is written alone") {
    const Folder f;
    const Ids end{f.open().end_id()};
    CHECK(f.open().encode("<|ENDOFTEXT|>") == end);
    const std::string map = R"({"bos_token": "<|startoftext|>", "unk_token": null, "eos_token": )";
    f.write("special_tokens_map.json", map + R"({"content": "<|endoftext|>"}})");
    CHECK(f.open().encode("<|endoftext|>") == end);
    CHECK(f.open().encode("<|ENDOFTEXT|>") != end);
    // The slow class looks for all of them as they are written, and for the frame's in lower case.
    CHECK(f.open(TokenizerBehaviour::slow).encode("<|ENDOFTEXT|>") == end);
}

TEST_CASE("a pipeline's folder behaves as the class that its model_index.json names") {
    const TemporaryFolder folder;
    write_small_tokenizer(folder, "model/tokenizer");
    const auto behaviour = [&](const std::string& index) {
        folder.write("model/model_index.json", index);
        for (const char* path : {"model/tokenizer/", "model/tokenizer"})
            CHECK(ClipTokenizer::from_directory(folder / path).options().behaviour ==
                  ClipTokenizer::from_path(folder / "model").options().behaviour);
        return ClipTokenizer::from_path(folder / "model").options().behaviour;
    };
    CHECK(ClipTokenizer::from_path(folder / "model").options().behaviour ==
          TokenizerBehaviour::fast);
    CHECK(behaviour(R"({"tokenizer": ["transformers", "CLIPTokenizer"]})") ==
          TokenizerBehaviour::slow);
    CHECK(behaviour(R"({"tokenizer": ["transformers", "CLIPTokenizerFast"]})") ==
          TokenizerBehaviour::fast);
    CHECK(behaviour(R"({"unet": ["diffusers", "UNet2DModel"]})") == TokenizerBehaviour::fast);
    CHECK(
        ClipTokenizer::from_path(folder / "model", TokenizerBehaviour::fast).options().behaviour ==
        TokenizerBehaviour::fast);
    folder.write("model/model_index.json", R"({"tokenizer": ["transformers", "T5Tokenizer"]})");
    CHECK_THROWS_WITH_AS(ClipTokenizer::from_path(folder / "model"),
                         doctest::Contains("T5Tokenizer"), ConfigError);
}

TEST_CASE("links that lead nowhere are errors of this library") {
    const Folder f;
    for (const char* name : {"vocab.json", "tokenizer_config.json", "tokenizer.json"}) {
        CAPTURE(name);
        std::filesystem::remove(f.folder / "t" / name);
        std::filesystem::create_symlink(name, f.folder / "t" / name);
        CHECK_THROWS_AS(f.open(), IoError);
        std::filesystem::remove(f.folder / "t" / name);
        write_small_tokenizer(f.folder, "t");
    }
}

TEST_CASE("a tokenizer with tokens of its own is saved with them") {
    const Folder f;
    const std::int32_t next = f.open().vocabulary_size();
    f.write("added_tokens.json", "{\"<Cat-Toy>\": " + std::to_string(next) + "}");
    f.write("special_tokens_map.json", R"({"additional_special_tokens": ["1", "!"]})");
    const ClipTokenizer tokenizer = f.open();
    tokenizer.save(f.folder / "saved");
    const ClipTokenizer saved = ClipTokenizer::from_path(f.folder / "saved");
    for (const char* text : {"<Cat-Toy>1!", "<CAT-toy> 11 apple", "a red owl"}) {
        CAPTURE(text);
        CHECK(saved.encode(text) == tokenizer.encode(text));
        CHECK(saved.decode(saved.encode(text)) == tokenizer.decode(tokenizer.encode(text)));
    }
    CHECK(saved.decode(saved.encode("1 <Cat-Toy>")) == "<Cat-Toy>");
}
