#include <dalle2/io/config.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "temporary_folder.hpp"

using namespace dalle2;

namespace {

ConfigReader reader(const std::string& text) {
    return ConfigReader(parse_json(text, "c.json"), "c.json");
}

}  // namespace

TEST_CASE("values are read by key and type") {
    ConfigReader config =
        reader(R"({"n": 5, "x": 1e-5, "one": 1, "b": true, "s": "silu", "list": [1, 2, 3],
                                     "names": ["a", "b"], "flags": [true, false], "off": null, "text_config": {"k": 2}})");
    CHECK(config.get<std::int64_t>("n") == 5);
    CHECK(config.get<double>("x") == 1e-5);
    CHECK(config.get<double>("one") == 1.0);
    CHECK(config.get<bool>("b"));
    CHECK(config.get<std::string>("s") == "silu");
    CHECK(config.get_one_of("s", {"gelu", "silu"}) == "silu");
    CHECK(config.get<std::vector<std::int64_t>>("list") == std::vector<std::int64_t>{1, 2, 3});
    CHECK(config.get<std::vector<std::string>>("names") == std::vector<std::string>{"a", "b"});
    CHECK(config.get<std::vector<bool>>("flags") == std::vector<bool>{true, false});
    CHECK(config.get_or<std::int64_t>("absent", 7) == 7);
    CHECK(config.get_or<std::int64_t>("off", 8) == 8);
    CHECK(config.get_or<std::int64_t>("n", 9) == 5);
    CHECK(config.get_or<double>("absent", 0.5, 0, 1) == 0.5);
    CHECK(config.contains("n"));
    CHECK_FALSE(config.contains("off"));
    ConfigReader child = config.child("text_config");
    CHECK_THROWS_AS(child.finish(), ConfigError);
    CHECK(child.get<std::int64_t>("k") == 2);
    CHECK_NOTHROW(child.finish());
    CHECK_NOTHROW(config.finish());
}

TEST_CASE(
    "a value of the wrong type or out of range is an error naming file, key, value and "
    "expectation") {
    for (const char* value :
         {"0", "-1", "1000000000000", "1.5", "5.0", "1e300", "\"5\"", "true", "null", "[5]", "{}",
          "18446744073709551615", "-9223372036854775808"}) {
        ConfigReader config = reader(std::string("{\"layers\": ") + value + "}");
        INFO(value);
        CHECK_THROWS_WITH_AS(config.get<std::int64_t>("layers"),
                             doctest::Contains("c.json: \"layers\" is "), ConfigError);
        CHECK_THROWS_WITH_AS(config.get<std::int64_t>("layers"),
                             doctest::Contains("whole number from 1 to 1000000"), ConfigError);
    }
    ConfigReader config =
        reader(R"({"n": 5, "x": 2.5, "list": [1, 0], "mixed": [1, "a"], "s": "tanh"})");
    CHECK_THROWS_AS(config.get<std::int64_t>("n", 6, 9), ConfigError);
    CHECK_THROWS_AS(config.get<std::int64_t>("n", 1, 4), ConfigError);
    CHECK(config.get<std::int64_t>("n", 0, 5) == 5);
    CHECK_THROWS_AS(config.get<double>("x", 0, 1), ConfigError);
    CHECK_THROWS_AS(config.get<double>("s"), ConfigError);
    CHECK_THROWS_AS(config.get<bool>("n"), ConfigError);
    CHECK_THROWS_AS(config.get<std::string>("n"), ConfigError);
    CHECK_THROWS_AS(config.get<std::vector<std::int64_t>>("list"), ConfigError);
    CHECK(config.get<std::vector<std::int64_t>>("list", 0, 1).size() == 2);
    CHECK_THROWS_AS(config.get<std::vector<std::int64_t>>("mixed"), ConfigError);
    CHECK_THROWS_AS(config.get<std::vector<std::int64_t>>("n"), ConfigError);
    CHECK_THROWS_AS(config.child("n"), ConfigError);
    CHECK_THROWS_WITH_AS(config.get_one_of("s", {"silu", "gelu"}),
                         "c.json: \"s\" is \"tanh\"; supported: \"silu\", \"gelu\"", ConfigError);
    CHECK_THROWS_WITH_AS(config.get<std::int64_t>("heads"),
                         doctest::Contains("\"heads\" is missing"), ConfigError);
}

TEST_CASE("a key with one supported value may be absent, and nothing else") {
    ConfigReader config = reader(R"({"act": "gelu", "norm": null, "n": 1})");
    CHECK_NOTHROW(config.expect("absent", {1}));
    CHECK_NOTHROW(config.expect("act", {"silu", "gelu"}));
    CHECK_NOTHROW(config.expect("norm", {nullptr, "group"}));
    CHECK_THROWS_WITH_AS(config.expect("n", {0, nullptr}), "c.json: \"n\" is 1; supported: 0, null",
                         ConfigError);
    CHECK_THROWS_AS(config.expect("norm", {1}), ConfigError);
}

TEST_CASE("a key that nobody asked for is an error unless it is off or a remark") {
    CHECK_NOTHROW(reader(R"({"_class_name": "X", "a": null, "b": false})").finish());
    CHECK_THROWS_WITH_AS(reader(R"({"dropout": 0.1})").finish(),
                         doctest::Contains("unknown key \"dropout\""), ConfigError);
    CHECK_THROWS_AS(reader(R"({"b": true})").finish(), ConfigError);
    CHECK_THROWS_AS(reader(R"({"b": 0})").finish(), ConfigError);
    ConfigReader config = reader(R"({"dropout": 0.1, "x": 1})");
    config.ignore({"dropout"});
    CHECK_THROWS_WITH_AS(config.finish(), doctest::Contains("\"x\""), ConfigError);
    config.get<std::int64_t>("x");
    CHECK_NOTHROW(config.finish());
}

TEST_CASE("a long value is shortened in the message") {
    ConfigReader config = reader("{\"s\": \"" + std::string(100000, 'x') + "\"}");
    try {
        config.get<std::int64_t>("s");
        FAIL("no error");
    } catch (const ConfigError& error) {
        CHECK(std::string(error.what()).size() < 250);
    }
}

TEST_CASE("what is not JSON, or not an object, is a FormatError naming the file") {
    TemporaryFolder folder;
    const auto refused = [&](const std::string& text) {
        folder.write("config.json", text);
        INFO(text.substr(0, 50));
        CHECK_THROWS_WITH_AS(ConfigReader::from_file(folder / "config.json"),
                             doctest::Contains("config.json"), FormatError);
    };
    refused("");
    refused("{");
    refused("[]");
    refused("null");
    refused("5");
    refused("{} {}");
    refused("{'a': 1}");
    refused("{\"a\": 1,}");
    refused("{\"a\": NaN}");
    refused("{\"a\": 1e999}");
    refused("{\"a\": \"\xff\"}");
    refused(std::string("{}\0", 3));
    refused("{\"a\": 1, \"a\": 1}");
    refused("{\"b\": {\"a\": 1, \"a\": 2}}");
    refused("{\"b\": [{}, {\"a\": 1, \"a\": 2}]}");
    refused(std::string(1000000, '['));
    refused("{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}");
    std::string deep;
    for (int i = 0; i < 100000; ++i) deep += "{\"a\":";
    refused(deep);
    CHECK_THROWS_WITH_AS(ConfigReader::from_file(folder / "none.json"),
                         doctest::Contains("none.json"), IoError);
    CHECK_THROWS_AS(ConfigReader::from_file(folder.path()), IoError);
    CHECK_NOTHROW(
        parse_json("{\"a\": {\"x\": 1}, \"b\": {\"x\": 1}}", "same keys in different objects"));
    folder.write("large.json", std::string(2000, ' '));
    CHECK_THROWS_WITH_AS(read_json(folder / "large.json", {.file_size = 1000}),
                         doctest::Contains("longer"), FormatError);
}

TEST_CASE("a config cut at any byte is a FormatError") {
    const std::string text = R"({"_class_name": "X", "list": [1, 2.5e3, "a\u00e9"], "b": true})";
    CHECK_NOTHROW(parse_json(text, "whole"));
    for (std::size_t length = 0; length < text.size(); ++length)
        CHECK_THROWS_AS(parse_json(text.substr(0, length), "cut"), FormatError);
}

TEST_CASE("JSON is written with its keys in the order given") {
    TemporaryFolder folder;
    OrderedJson json;
    json["z"] = 1;
    json["a"] = "ü";
    write_json(folder / "a.json", json);
    CHECK(folder.read("a.json") == "{\n  \"z\": 1,\n  \"a\": \"ü\"\n}\n");
    CHECK_THROWS_AS(write_json(folder / "b.json", Json("\xff")), FormatError);
    CHECK_THROWS_AS(write_json(folder / "no/b.json", Json(1)), IoError);
    CHECK(folder.file_count() == 1);
}
