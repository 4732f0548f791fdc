#include "../../benchmarks/quality/prompts.hpp"

#include <dalle2/data/emoji_nouns.hpp>

#include <doctest/doctest.h>

#include <array>
#include <set>

using namespace quality;

TEST_CASE("a third of the prompts is of each kind, and each is what its kind says") {
    const auto& nouns = dalle2::emoji_nouns();
    const std::vector<Prompt> prompts = draw_prompts(512, 0);
    REQUIRE(prompts.size() == 512);
    std::array<int, kind_count> counts{};
    int colored = 0;
    std::set<std::string> different;
    for (const Prompt& prompt : prompts) {
        ++counts[static_cast<std::size_t>(prompt.kind)];
        different.insert(prompt.text);
        CHECK((prompt.scene.object_count() == 2) == (prompt.kind == Kind::pair));
        for (int i = 0; i < prompt.scene.object_count(); ++i)
            CHECK(dalle2::is_held_out(prompt.scene.objects[static_cast<std::size_t>(i)], nouns) ==
                  (prompt.kind == Kind::single_held_out));
        if (prompt.kind == Kind::single_seen) colored += prompt.names_color();
        if (prompt.kind == Kind::single_held_out) CHECK(prompt.names_color());
    }
    CHECK(counts == std::array<int, kind_count>{171, 171, 170});
    CHECK(colored > 60);
    CHECK(colored < 110);
    CHECK(different.size() > 500);
}

TEST_CASE("a prompt's words are its scene's") {
    const auto& nouns = dalle2::emoji_nouns();
    for (const Prompt& prompt : draw_prompts(30, 5)) {
        const int phrasings = dalle2::phrasing_count(prompt.scene.layout);
        bool found = false;
        for (int phrasing = 0; phrasing < phrasings; ++phrasing)
            found = found || dalle2::caption(prompt.scene, phrasing, nouns) == prompt.text;
        CHECK(found);
    }
}

TEST_CASE("fewer prompts are the first of more, and another seed has other prompts") {
    const auto of_kind = [](const std::vector<Prompt>& prompts, Kind kind) {
        std::vector<std::string> texts;
        for (const Prompt& prompt : prompts)
            if (prompt.kind == kind) texts.push_back(prompt.text);
        return texts;
    };
    const auto many = draw_prompts(60, 3), few = draw_prompts(7, 3), other = draw_prompts(60, 4);
    for (const Kind kind : all_kinds) {
        auto longer = of_kind(many, kind);
        CHECK(longer != of_kind(other, kind));
        const auto shorter = of_kind(few, kind);
        CHECK(shorter.size() == (kind == Kind::single_seen ? 3u : 2u));
        longer.resize(shorter.size());
        CHECK(longer == shorter);
    }
}
