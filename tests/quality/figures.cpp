#include "../../benchmarks/quality/figures.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using namespace quality;

namespace {

Prompt prompt_of(Kind kind, int color) {
    Prompt prompt{kind, {}, "a prompt"};
    if (kind == Kind::pair) prompt.scene.layout = dalle2::SceneLayout::left_right;
    prompt.scene.objects[0] = {3, color};
    prompt.scene.objects[1] = {4, -1};
    return prompt;
}

dalle2::OracleVerdict verdict_of(bool nouns, bool colors, bool background, bool relation) {
    return {{}, nouns, colors, background, relation};
}

}  // namespace

TEST_CASE("shares count colours where one is named, and relations where there are two objects") {
    Figures figures;
    figures.add(
        Row::pictures,
        {prompt_of(Kind::single_seen, -1), prompt_of(Kind::single_seen, 2),
         prompt_of(Kind::single_seen, 2), prompt_of(Kind::pair, -1), prompt_of(Kind::pair, 1)},
        {verdict_of(true, false, true, true), verdict_of(true, true, true, true),
         verdict_of(false, false, true, true), verdict_of(true, true, false, true),
         verdict_of(false, false, true, false)});
    const Shares single = figures.at(Row::pictures, Kind::single_seen);
    CHECK(single.noun.value() == doctest::Approx(2.0 / 3));
    CHECK(single.color.of == 2);
    CHECK(single.color.value() == doctest::Approx(0.5));
    CHECK(single.relation.of == 0);
    const Shares pair = figures.at(Row::pictures, Kind::pair);
    CHECK(pair.noun.value() == doctest::Approx(0.5));
    CHECK(pair.color.of == 1);
    CHECK(pair.relation.value() == doctest::Approx(0.5));
    CHECK(pair.background.value() == doctest::Approx(0.5));
    CHECK(figures.at(Row::pictures, Kind::single_held_out).noun.of == 0);
}

TEST_CASE("the JSON has every key, with null for what was not measured") {
    Figures figures;
    CHECK(figures.json().dump() ==
          R"({"single_seen":{"noun":null,"color":null,"background":null},)"
          R"("single_held_out":{"noun":null,"color":null,"background":null},)"
          R"("pair":{"both_nouns":null,"relation":null,"background":null},)"
          R"("stages":{"clip":{"noun":null,"color":null,"held_out_noun":null},)"
          R"("prior":{"noun":null,"color":null},)"
          R"("decoder_from_true_embedding":{"noun":null,"color":null},)"
          R"("before_upsampling":{"noun":null,"color":null}}})");
    figures.at(Row::clip, Kind::single_held_out).noun.add(true);
    figures.at(Row::prior, Kind::single_seen).color.add(false);
    figures.at(Row::pictures, Kind::pair).relation.add(true);
    for (int i = 0; i < 3; ++i) figures.at(Row::pictures, Kind::single_seen).noun.add(i == 0);
    const auto json = figures.json();
    CHECK(json["stages"]["clip"]["held_out_noun"] == 1.0);
    CHECK(json["stages"]["prior"]["color"] == 0.0);
    CHECK(json["pair"]["relation"] == 1.0);
    CHECK(json["single_seen"]["noun"] == 0.3333);
}

TEST_CASE("the table has a line for each row that was measured") {
    Figures figures;
    figures.at(Row::pictures, Kind::single_seen).noun.add(true);
    const std::string table = figures.table({{Row::clip, "CLIP"}, {Row::pictures, "the pictures"}});
    CHECK(table.find("CLIP") == std::string::npos);
    CHECK(table.find("the pictures") != std::string::npos);
    CHECK(table.find("1.000") != std::string::npos);
    CHECK(std::count(table.begin(), table.end(), '\n') == 3);
}
