// Texts in groups of like length.
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include <dalle2/core/random.hpp>
#include <dalle2/train/text_groups.hpp>

using namespace dalle2;

namespace {

// Texts of the given lengths, whose tokens say where they stand, in `tokens` columns.
TokenBatch texts_of(const std::vector<std::int64_t>& lengths, std::int64_t tokens) {
    TokenBatch batch{static_cast<std::int64_t>(lengths.size()), tokens, {}, {}};
    for (std::size_t row = 0; row < lengths.size(); ++row)
        for (std::int64_t i = 0; i < tokens; ++i) {
            batch.ids.push_back(static_cast<std::int32_t>(100 * static_cast<int>(row) + i));
            batch.mask.push_back(i < lengths[row] ? 1 : 0);
        }
    return batch;
}

std::int64_t work_of(const std::vector<TextGroup>& groups, std::int64_t group_cost) {
    std::int64_t work = 0;
    for (const TextGroup& group : groups)
        work += group.tokens.batch * group.tokens.tokens + group_cost;
    return work;
}

// The least work of all ways to cut texts, sorted by length, into groups.
std::int64_t least_work(std::vector<std::int64_t> lengths, std::int64_t group_cost) {
    std::sort(lengths.begin(), lengths.end());
    const std::size_t cuts = std::size_t{1} << (lengths.size() - 1);
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    for (std::size_t cut = 0; cut < cuts; ++cut) {
        std::int64_t work = 0, count = 0;
        for (std::size_t i = 0; i < lengths.size(); ++i) {
            ++count;
            if (i + 1 < lengths.size() && !(cut >> i & 1)) continue;
            work += count * lengths[i] + group_cost;
            count = 0;
        }
        least = std::min(least, work);
    }
    return least;
}

}  // namespace

TEST_CASE("groups hold every text once, whole, and padded to the longest of the group alone") {
    const std::vector<std::int64_t> lengths = {5, 19, 7, 5, 8, 18, 1, 7, 12};
    for (const std::int64_t tokens : {19, 24}) {
        const TokenBatch texts = texts_of(lengths, tokens);
        std::vector<std::int64_t> seen;
        std::int64_t shortest = 0;
        for (const TextGroup& group : groups_by_length(texts, 4)) {
            REQUIRE(group.tokens.batch == static_cast<std::int64_t>(group.rows.size()));
            REQUIRE(group.tokens.ids.size() == group.rows.size() * group.tokens.tokens);
            REQUIRE(group.tokens.mask.size() == group.tokens.ids.size());
            std::int64_t longest = 0;
            for (std::size_t i = 0; i < group.rows.size(); ++i) {
                const std::int64_t row = group.rows[i], length = lengths.at(row);
                CHECK(length >= shortest);
                longest = std::max(longest, length);
                for (std::int64_t t = 0; t < group.tokens.tokens; ++t) {
                    const std::size_t at = i * group.tokens.tokens + t;
                    CHECK(group.tokens.ids[at] == texts.ids[row * tokens + t]);
                    CHECK(group.tokens.mask[at] == (t < length ? 1 : 0));
                }
                seen.push_back(row);
            }
            CHECK(group.tokens.tokens == longest);
            shortest = longest;
        }
        CHECK(seen == std::vector<std::int64_t>{6, 0, 3, 2, 7, 4, 8, 5, 1});
    }
}

TEST_CASE("no other groups take less work") {
    const CounterGenerator random(7);
    for (std::uint64_t draw = 0; draw < 20; ++draw) {
        std::vector<std::int64_t> lengths;
        for (std::uint64_t i = 0; i < 1 + draw % 11; ++i)
            lengths.push_back(1 + random.below(100 * draw + i, 20));
        for (const std::int64_t group_cost : {0, 3, 10, 1000})
            CHECK(work_of(groups_by_length(texts_of(lengths, 20), group_cost), group_cost) ==
                  least_work(lengths, group_cost));
    }
}

TEST_CASE("a text of nothing but padding keeps one token, and no texts make no groups") {
    const std::vector<TextGroup> groups = groups_by_length(texts_of({0, 0}, 3), 64);
    REQUIRE(groups.size() == 1);
    CHECK(groups[0].tokens.tokens == 1);
    CHECK(groups_by_length(TokenBatch{}).empty());
}

TEST_CASE("batches that contradict themselves are refused") {
    TokenBatch texts = texts_of({2, 3}, 3);
    texts.mask.pop_back();
    CHECK_THROWS_WITH_AS(groups_by_length(texts),
                         "texts: 6 token ids and 5 of a mask, expected 2 texts of 3", ShapeError);
    texts = texts_of({2, 3}, 3);
    texts.ids.push_back(1);
    CHECK_THROWS_AS(groups_by_length(texts), ShapeError);
    CHECK_THROWS_AS(groups_by_length(texts_of({0}, 0)), ShapeError);
}

TEST_CASE("the time depends on the texts, not on how long they could be") {
    const TokenBatch texts = texts_of({1, 2'000'000}, 2'000'000);
    CHECK(groups_by_length(texts).size() == 2);
}

TEST_CASE("rows are taken in the order that is asked for") {
    Array x = make_array({3, 2, 2});
    std::iota(x.begin(), x.end(), 0.0f);
    const Array taken = take_rows(x, {2, 0, 2});
    CHECK(shape_of(taken) == Shape{3, 2, 2});
    CHECK(std::vector<float>(taken.begin(), taken.end()) ==
          std::vector<float>{8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11});
    CHECK(take_rows(std::vector<int>{5, 6, 7}, {1, 1, 0}) == std::vector<int>{6, 6, 5});
}
