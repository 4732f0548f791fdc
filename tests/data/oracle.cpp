#include <dalle2/core/random.hpp>
#include <dalle2/data/emoji_font.hpp>
#include <dalle2/data/emoji_scenes.hpp>
#include <dalle2/data/oracle.hpp>

#include <doctest/doctest.h>

#include <fstream>
#include <functional>

using namespace dalle2;

namespace {

// What the oracle says of pictures of one scene when another was asked for.
OracleFigures judged(const SceneRenderer& renderer, int size, int count,
                     const std::function<SceneDescription(int)>& shown,
                     const std::function<SceneDescription(int)>& asked,
                     const std::function<void(std::vector<float>&, int)>& spoil) {
    const Oracle oracle(renderer, size);
    std::vector<OracleVerdict> verdicts(static_cast<std::size_t>(count));
#pragma omp parallel for
    for (int i = 0; i < count; ++i) {
        std::vector<float> picture(static_cast<std::size_t>(size * size * 3));
        renderer.render(shown(i), size, picture.data());
        spoil(picture, i);
        verdicts[static_cast<std::size_t>(i)] = oracle.judge(picture.data(), asked(i));
    }
    return oracle_figures(verdicts);
}

void leave(std::vector<float>&, int) {}

void blur(std::vector<float>& picture, int radius) {
    const int size = static_cast<int>(std::sqrt(static_cast<double>(picture.size()) / 3) + 0.5);
    const std::vector<float> sharp = picture;
    for (int y = 0; y < size; ++y)
        for (int x = 0; x < size; ++x)
            for (int c = 0; c < 3; ++c) {
                float sum = 0;
                for (int i = -radius; i <= radius; ++i)
                    for (int j = -radius; j <= radius; ++j)
                        sum +=
                            sharp[static_cast<std::size_t>((std::clamp(y + i, 0, size - 1) * size +
                                                            std::clamp(x + j, 0, size - 1)) *
                                                               3 +
                                                           c)];
                picture[static_cast<std::size_t>((y * size + x) * 3 + c)] =
                    sum / static_cast<float>((2 * radius + 1) * (2 * radius + 1));
            }
}

}  // namespace

TEST_CASE("the oracle finds true scenes, also noisy, blurred and pale ones, and no others") {
    if (!std::ifstream(default_emoji_font())) return;
    const SceneRenderer renderer(load_sprites(emoji_nouns()));
    const SceneStream singles(11, {.pairs = 0}), pairs(12, {.pairs = 1}),
        held_out(13, {.split = SceneSplit::held_out});
    const auto at = [](const SceneStream& stream, std::uint64_t from = 0) {
        return
            [&stream, from](int i) { return stream.scene(from + static_cast<std::uint64_t>(i)); };
    };

    for (const int size : {128, 32}) {
        CAPTURE(size);
        const int count = size == 128 ? 100 : 400;
        for (const SceneStream* stream : {&singles, &held_out, &pairs}) {
            const OracleFigures f = judged(renderer, size, count, at(*stream), at(*stream), leave);
            CHECK(f.nouns >= 0.99);
            CHECK(f.colors >= 0.99);
            CHECK(f.background >= 0.99);
            CHECK(f.relation >= 0.99);
        }
        for (const SceneStream* stream : {&singles, &pairs}) {
            const auto spoil = [&](std::vector<float>& picture, int i) {
                const CounterGenerator random(77, static_cast<std::uint64_t>(i));
                blur(picture, size == 128 ? 2 : 1);
                for (std::size_t k = 0; k < picture.size(); ++k)
                    picture[k] = 0.85f * picture[k] + 0.05f + 0.1f * random.normal(k);
            };
            const OracleFigures f = judged(renderer, size, count, at(*stream), at(*stream), spoil);
            CHECK(f.nouns >= 0.9);
            CHECK(f.colors >= 0.85);
            CHECK(f.background >= 0.97);
            CHECK(f.relation >= 0.95);
        }
    }
    // Asked for another scene of the same kind.
    const OracleFigures s = judged(renderer, 32, 600, at(singles), at(singles, 1000), leave);
    CHECK(s.nouns < 0.03);
    CHECK(s.background < 0.2);
    CHECK(s.colors < 0.4);  // half of the objects have no tint
    const OracleFigures p = judged(renderer, 32, 600, at(pairs), at(pairs, 1000), leave);
    CHECK(p.nouns < 0.01);
    CHECK(p.relation < 0.33);
    CHECK(p.relation > 0.17);
    CHECK(p.background < 0.2);
}

TEST_CASE("the oracle tells a swapped pair and a turned one, and finds its nouns") {
    if (!std::ifstream(default_emoji_font())) return;
    const SceneRenderer renderer(load_sprites(emoji_nouns()));
    const Oracle oracle(renderer, 32);
    std::vector<float> picture(32 * 32 * 3);
    const SceneDescription asked{SceneLayout::left_right, {{{3, -1}, {40, 2}}}, 1};
    SceneDescription swapped = asked, turned = asked;
    std::swap(swapped.objects[0], swapped.objects[1]);
    turned.layout = SceneLayout::above_below;
    for (const SceneDescription& shown : {swapped, turned}) {
        renderer.render(shown, 32, picture.data());
        const OracleVerdict verdict = oracle.judge(picture.data(), asked);
        CHECK(verdict.nouns);
        CHECK_FALSE(verdict.relation);
        CHECK(verdict.background);
        CHECK(verdict.found == shown);
    }
    CHECK_THROWS_AS(Oracle(renderer, 100), ConfigError);
}

TEST_CASE("a picture of nothing but background is judged without trouble") {
    if (!std::ifstream(default_emoji_font())) return;
    const SceneRenderer renderer(load_sprites(emoji_nouns()));
    const Oracle oracle(renderer, 32);
    const std::vector<float> white(32 * 32 * 3, 1.0f);
    const OracleVerdict verdict = oracle.judge(white.data(), {SceneLayout::single, {}, 7});
    CHECK(verdict.background);
    const SceneDescription pair{SceneLayout::left_right, {{{3, -1}, {40, 2}}}, 7};
    CHECK_FALSE(oracle.judge(white.data(), pair).relation);
}
