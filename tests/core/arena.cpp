// Where blocks go in an arena: apart from each other, and not much further than they must.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include <dalle2/core/arena.hpp>

using namespace dalle2;

namespace {

struct Block {
    std::size_t at, bytes;
};

// Takes and gives back blocks in a random order, most of them of few different sizes, as a network
// does. Calls look(blocks in use) after each.
template <class Look>
void use_at_random(ArenaLayout& layout, unsigned seed, int events, const Look& look) {
    std::mt19937 random(seed);
    std::vector<Block> used;
    for (int event = 0; event < events; ++event) {
        if (used.empty() || random() % 8 < (used.size() < 12 ? 5u : 3u)) {
            const std::size_t bytes =
                random() % 3 ? std::size_t{1000} << random() % 6 : random() % 50000;
            used.push_back({layout.take(bytes), bytes});
        } else {
            const std::size_t chosen = random() % used.size();
            layout.give_back(used[chosen].at, used[chosen].bytes);
            used.erase(used.begin() + static_cast<std::ptrdiff_t>(chosen));
        }
        look(used);
    }
    for (const Block& block : used) layout.give_back(block.at, block.bytes);
}

}  // namespace

TEST_CASE("no two blocks of an arena lie in one place, and each begins at a multiple of 64") {
    ArenaLayout layout;
    use_at_random(layout, 1, 4000, [&](std::vector<Block> used) {
        std::sort(used.begin(), used.end(),
                  [](const Block& a, const Block& b) { return a.at < b.at; });
        for (std::size_t i = 0; i < used.size(); ++i) {
            REQUIRE(used[i].at % ArenaLayout::unit == 0);
            REQUIRE(used[i].at + std::max<std::size_t>(used[i].bytes, 1) <=
                    (i + 1 < used.size() ? used[i + 1].at : layout.end()));
        }
        REQUIRE(layout.end() <= layout.extent());
    });
    CHECK(layout.end() == 0);
}

TEST_CASE("an arena is not much larger than the most that its blocks hold at one time") {
    for (unsigned seed = 0; seed < 20; ++seed) {
        ArenaLayout layout;
        std::size_t most = 0;
        use_at_random(layout, seed, 500, [&](const std::vector<Block>& used) {
            std::size_t held = 0;
            for (const Block& block : used) held += (block.bytes + 63) / 64 * 64;
            most = std::max(most, held);
        });
        CAPTURE(seed);
        CHECK(layout.extent() >= most);
        CHECK(static_cast<double>(layout.extent()) < 1.5 * static_cast<double>(most));
    }
}

TEST_CASE("the same blocks in the same order go to the same places") {
    const auto places = [](ArenaLayout& layout) {
        std::vector<std::size_t> found;
        use_at_random(layout, 3, 300, [&](const std::vector<Block>& used) {
            if (!used.empty()) found.push_back(used.back().at);
        });
        return found;
    };
    ArenaLayout a, b;
    const auto first = places(a);
    CHECK(places(b) == first);
    CHECK(places(a) == first);  // and again, where everything has been given back
}

TEST_CASE("a gap is filled by what fits it best, and joins its neighbours when it is free") {
    ArenaLayout layout;
    const std::size_t large = layout.take(4096), wall = layout.take(64), small = layout.take(128),
                      last = layout.take(64);
    CHECK(last == 4096 + 64 + 128);
    layout.give_back(large, 4096);
    layout.give_back(small, 128);
    CHECK(layout.take(100) == small);
    CHECK(layout.take(64) == large);
    layout.give_back(large, 64);
    layout.give_back(small, 100);
    layout.give_back(wall, 64);
    CHECK(layout.take(4096 + 64 + 128) == large);
    CHECK(layout.extent() == last + 64);
}

TEST_CASE("reserved memory is usable as far as it was opened, and zero after it was forgotten") {
    ReservedMemory memory(std::size_t{1} << 30);
    REQUIRE(memory.address());
    constexpr std::size_t bytes = 40u << 20;
    REQUIRE(memory.open(bytes));
    std::memset(memory.address(), 7, bytes);
    memory.forget_beyond(std::size_t{8} << 20);
    CHECK(memory.address()[(8u << 20) - 1] == 7);
    CHECK(memory.address()[bytes - 1] == 0);
    CHECK_FALSE(memory.open((std::size_t{1} << 30) + 1));
    const ReservedMemory too_large(~std::size_t{0} / 2);
    CHECK(too_large.address() == nullptr);
}
