#include <dalle2/text/special_tokens.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

using namespace dalle2;

namespace {

// The parts of a text between special tokens, these as "#id".
std::string split(const std::vector<std::u32string>& specials, const std::u32string& text) {
    detail::SpecialTokenFinder finder;
    for (std::size_t i = 0; i < specials.size(); ++i)
        finder.add({specials[i], static_cast<std::int32_t>(i)});
    std::string result;
    std::vector<std::int32_t> ids;
    const auto flush = [&] {
        for (const std::int32_t id : ids) result += "#" + std::to_string(id);
        ids.clear();
    };
    finder.split(text, ids, [&](std::u32string_view part) {
        flush();
        result += std::string(part.begin(), part.end());
    });
    flush();
    return result;
}

}  // namespace

TEST_CASE("the longest special token that begins at a place is found") {
    CHECK(split({U"<a>", U"<ab>", U"<a", U"b"}, U"x<a><ab><ac b") == "x#0#1#2c #3");
    CHECK(split({U"<a>"}, U"<<a>><a") == "<#0><a");
    CHECK(split({U"!"}, U"!!a!") == "#0#0a#0");
    CHECK(split({}, U"abc") == "abc");
    CHECK(split({U"a"}, U"") == "");
    CHECK(split({U"abc", U"b"}, U"abab") == "a#1a#1");
}
