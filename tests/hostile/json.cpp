#include <dalle2/io/json.hpp>

#include <doctest/doctest.h>

#include <string>

#include <dalle2/decoder/config.hpp>
#include <dalle2/io/config.hpp>
#include <dalle2/prior/config.hpp>

#include "../golden/golden_files.hpp"
#include "../io/temporary_folder.hpp"
#include "bounded.hpp"

using namespace dalle2;
using hostile::repeated;

namespace {

void check_json(const std::string& json, const std::string& text) {
    TemporaryFolder folder;
    folder.write("config.json", json);
    const std::string message =
        hostile::check_refused(json.size(), [&] { (void)read_json(folder / "config.json"); });
    INFO(message);
    CHECK(message.find(text) != std::string::npos);
    CHECK(message.find("config.json") != std::string::npos);
}

constexpr std::size_t most = 60'000'000;

std::string filled(const std::string& before, const std::string& piece, const std::string& after) {
    return before + repeated(piece, most / piece.size()) + after;
}

}  // namespace

TEST_CASE("JSON that is nested too deep is refused, however much of it there is") {
    check_json(filled("", "[", ""), "deep");
    check_json(filled("", "{\"a\":", ""), "deep");
    check_json(filled("", "[{\"a\":", ""), "deep");
    check_json(filled("{\"a\":[", "[],", "[" + repeated("[", 100)), "too many values");
}

TEST_CASE("JSON of many values is refused before they take much memory") {
    check_json(filled("[", "0,", "0]"), "too many values");
    check_json(filled("[", "[],", "0]"), "too many values");
    check_json(filled("[", "{},", "0]"), "too many values");
    check_json(filled("[", "\"\",", "0]"), "too many values");
    check_json(filled("[", "{\"a\":0},", "0]"), "too many values");
    check_json(filled("[", "1e5,", "0]"), "too many values");
    std::string keys = "{", long_texts = "[";
    for (int i = 0; keys.size() < most; ++i)
        keys += (i ? ",\"" : "\"") + std::to_string(i) + "\":0";
    check_json(keys + "}", "too many values");
    for (int i = 0; long_texts.size() < most; ++i)
        long_texts += (i ? ",\"" : "\"") + std::string(1 << 20, 'x') + '"';
    check_json(long_texts + ",]", "not JSON");
}

TEST_CASE("a single text, number or blank of many megabytes is refused") {
    check_json(filled("\"", "x", "\""), "a text or number of more");
    check_json(filled("\"", "\\n", "\""), "a text or number of more");
    check_json(filled("{\"", "x", "\":0}"), "a text or number of more");
    check_json(filled("", "1", ""), "a text or number of more");
    check_json(filled("", " ", "x"), "a text or number of more");
    check_json(std::string(70 << 20, ' '), "longer than");
}

TEST_CASE("keys that occur twice are refused") {
    check_json(R"({"a": 1, "a": 1})", "twice");
    check_json(R"({"o": {"a": 1, "b": {}, "a": 2}})", "twice");
    check_json(R"([[{"\u0061": 1, "a": 2}]])", "twice");
}

TEST_CASE("a config cut at any byte, or with any byte changed, is read or refused") {
    const auto public_checkpoint = golden::read_json(golden::folder() / "public_checkpoint.json");
    const std::string prior = public_checkpoint["prior"]["config"].dump();
    const std::string decoder = public_checkpoint["decoder"]["config"].dump();
    std::size_t refused = 0, attempts = 0;
    const auto attempt = [&](const std::string& text, bool is_prior) {
        ++attempts;
        try {
            ConfigReader reader(parse_json(text, "config.json"), "config.json");
            if (is_prior) {
                (void)prior_config(std::move(reader));
            } else {
                (void)unet_config(std::move(reader));
            }
        } catch (const Error&) {
            ++refused;
        }
    };
    for (const bool is_prior : {true, false}) {
        const std::string& whole = is_prior ? prior : decoder;
        attempt(whole, is_prior);
        for (std::size_t length = 0; length < whole.size(); ++length)
            attempt(whole.substr(0, length), is_prior);
        for (std::size_t i = 0; i < whole.size(); ++i)
            for (const int bits : {1, 2, 0x10, 0x80, 0xFF}) {
                std::string bytes = whole;
                bytes[i] = static_cast<char>(bytes[i] ^ bits);
                attempt(bytes, is_prior);
            }
    }
    CHECK(refused < attempts);
    CHECK(refused > attempts * 3 / 4);
}

TEST_CASE("a config whose sizes would overflow or be absurd is refused") {
    const auto public_checkpoint = golden::read_json(golden::folder() / "public_checkpoint.json");
    for (const char* component : {"prior", "decoder"}) {
        const auto& config = public_checkpoint[component]["config"];
        for (const auto& [key, value] : config.items()) {
            if (!value.is_number_integer() || key == "freq_shift") continue;  // 0 is its value
            for (const char* absurd : {"-1", "0", "9223372036854775807", "18446744073709551615",
                                       "-9223372036854775808", "1e300", "4294967296"}) {
                auto changed = config;
                changed[key] = Json::parse(absurd);
                INFO(component << ", " << key << " = " << absurd);
                ConfigReader reader(changed, "config.json");
                if (component == std::string("prior")) {
                    CHECK_THROWS_AS((void)prior_config(std::move(reader)), ConfigError);
                } else {
                    CHECK_THROWS_AS((void)unet_config(std::move(reader)), ConfigError);
                }
            }
        }
    }
}
