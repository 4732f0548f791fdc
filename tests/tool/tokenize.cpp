#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include <dalle2/io/json.hpp>
#include <dalle2/text/clip_tokenizer.hpp>

#include "../text/tokenizer_folder.hpp"
#include "running.hpp"

namespace {

// A folder with a small tokenizer in it.
struct WithTokenizer {
    TemporaryFolder folder;
    dalle2::ClipTokenizer tokenizer = small_tokenizer();
    WithTokenizer() { tokenizer.save(folder / "t"); }

    Run tokenize(const std::string& arguments) const {
        return run(folder, "tokenize --model t " + arguments);
    }
    std::string ids(const std::string& text) const {
        std::string line;
        for (const auto id : tokenizer.encode(text))
            line += (line.empty() ? "" : " ") + std::to_string(id);
        return line + "\n";
    }
};

}  // namespace

TEST_CASE("a text becomes one line of numbers, the same as in the library") {
    const WithTokenizer with;
    const Run printed = with.tokenize("'A red  owl!'");
    CHECK(printed.status == 0);
    CHECK_MESSAGE(printed.err.empty(), printed.err);
    CHECK(printed.out == with.ids("a red owl!"));
    CHECK(with.tokenize("''").out == "\n");
    CHECK(with.tokenize("'red owl' --pieces").out ==
          with.ids("red owl").substr(0, with.ids("red owl").size() - 1) + "   red</w> owl</w>\n");
}

TEST_CASE("the model that comes with dalle2 is the one that is asked by default") {
    const TemporaryFolder folder;
    const Run printed = run(folder, "tokenize 'an owl'");
    CHECK(printed.status == 0);
    CHECK(std::count(printed.out.begin(), printed.out.end(), ' ') == 1);
}

TEST_CASE("each line of a file becomes a line, an empty one too") {
    const WithTokenizer with;
    with.folder.write("texts.txt", "red apple\n\nan owl\r\nlast");
    const std::string expected =
        with.ids("red apple") + "\n" + with.ids("an owl") + with.ids("last");
    CHECK(with.tokenize("--file texts.txt").out == expected);
    CHECK(with.tokenize("--file - < texts.txt").out == expected);
    with.folder.write("texts.json", "\"red\\napple\"\n\"\"\n\"a\\u0000\"\n");
    CHECK(with.tokenize("--file texts.json --json-lines").out ==
          with.ids("red apple") + "\n" + with.ids(std::string("a\0", 2)));
}

TEST_CASE("--special prints all that the model reads") {
    const WithTokenizer with;
    const Run printed = with.tokenize("owl --special");
    const std::string end = " " + std::to_string(with.tokenizer.end_id());
    CHECK(printed.out.starts_with(std::to_string(with.tokenizer.start_id()) + " "));
    CHECK(std::count(printed.out.begin(), printed.out.end(), ' ') == 76);
    CHECK(printed.out.ends_with(end + end + "\n"));
}

TEST_CASE("--json prints an object for each text") {
    const WithTokenizer with;
    const Run printed = with.tokenize("'red owl' --json");
    const dalle2::Json json = dalle2::parse_json(printed.out, "output");
    CHECK(json["ids"] == dalle2::Json(with.tokenizer.encode("red owl")));
    CHECK(json["pieces"] == dalle2::Json({"red</w>", "owl</w>"}));
    CHECK(json["dropped"] == "");
}

TEST_CASE("words that fall off are named in a warning, with their line") {
    const WithTokenizer with;
    std::string text;
    for (int i = 0; i < 75; ++i) text += "red ";
    with.folder.write("texts.txt", text + "\n" + text + "blue owl\n");
    const Run printed = with.tokenize("--file texts.txt");
    CHECK(printed.status == 0);
    CHECK(printed.err ==
          "dalle2: warning: line 2: the model reads 77 tokens at most; it does not see "
          "\"blue owl\"\n");
    CHECK(std::count(printed.out.begin(), printed.out.end(), ' ') == 74 + 76);
}

TEST_CASE("both behaviours can be had") {
    const WithTokenizer with;
    const Run fast = with.tokenize(
        "'red\xE2\x80\x8B"
        "owl' --behaviour fast --pieces");
    const Run slow = with.tokenize(
        "'red\xE2\x80\x8B"
        "owl' --behaviour slow --pieces");
    CHECK(fast.status == 0);
    CHECK(slow.status == 0);
    CHECK(fast.out != slow.out);
}

TEST_CASE("wrong usage of tokenize is one line and exit status 2") {
    const WithTokenizer with;
    with.folder.write("texts.txt", "owl\n");
    for (const char* arguments :
         {"", "owl --file texts.txt", "red owl", "owl --behaviour quick", "owl --file"}) {
        CAPTURE(std::string(arguments));
        const Run wrong = with.tokenize(arguments);
        CHECK(wrong.status == 2);
        CHECK(wrong.out.empty());
        CHECK_MESSAGE(is_one_error_line(wrong.err), wrong.err);
    }
    const Run help = with.tokenize("--help");
    CHECK(help.status == 0);
    CHECK(help.out.find("dalle2 tokenize \"a red apple\"") != std::string::npos);
}

TEST_CASE("files that tokenize cannot use are named") {
    const WithTokenizer with;
    with.folder.write("texts.json", "\"owl\"\nowl\n");
    with.folder.write("numbers.json", "1\n");
    with.folder.write("wrong/vocab.json", "{}");
    const auto refused = [&](const std::string& arguments, const std::string& named) {
        CAPTURE(arguments);
        const Run wrong = run(with.folder, "tokenize " + arguments);
        CHECK(wrong.status == 1);
        CHECK_MESSAGE(is_one_error_line(wrong.err), wrong.err);
        CHECK_MESSAGE(wrong.err.find(named) != std::string::npos, wrong.err);
    };
    refused("owl --model nothing", "nothing");
    refused("owl --model wrong", "merges.txt");
    refused("owl --model texts.json", "texts.json");
    refused("--file nothing.txt", "nothing.txt");
    refused("--file t", "directory");
    refused("--file texts.json --json-lines", "line 2");
    refused("--file numbers.json --json-lines", "line 1");
}
