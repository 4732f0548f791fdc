// The texts of a batch in groups of like length. Padding takes as much work as words: of captions
// of 5 to 19 tokens, 11 in the mean, a batch padded to its longest is 19 wide, in groups 12.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include <dalle2/clip/token_batch.hpp>
#include <dalle2/core/array.hpp>

namespace dalle2 {

// Some texts of a batch, padded to the longest of them: tokens' row i is the batch's row rows[i].
struct TextGroup {
    std::vector<std::int64_t> rows;
    TokenBatch tokens;
};

namespace detail {

// How many tokens of a text are not padding.
inline std::int64_t text_length(const TokenBatch& texts, std::int64_t row) {
    const auto mask = texts.mask.begin() + row * texts.tokens;
    std::int64_t length = texts.tokens;
    while (length > 1 && mask[length - 1] == 0) --length;
    return length;
}

// The first `tokens` tokens of some texts.
inline TokenBatch shortened(const TokenBatch& texts, const std::vector<std::int64_t>& rows,
                            std::int64_t tokens) {
    TokenBatch some{static_cast<std::int64_t>(rows.size()), tokens, {}, {}};
    for (const std::int64_t row : rows) {
        const auto append = [&](const auto& from, auto& to) {
            const auto begin = from.begin() + row * texts.tokens;
            to.insert(to.end(), begin, begin + tokens);
        };
        append(texts.ids, some.ids);
        append(texts.mask, some.mask);
    }
    return some;
}

}  // namespace detail

// All texts of a batch, the shortest first and those of equal length in the batch's order, cut into
// the groups that take the least work. A group costs as much as `group_cost` tokens: what a network
// does once for each, such as packing its weights.
inline std::vector<TextGroup> groups_by_length(const TokenBatch& texts,
                                               std::int64_t group_cost = 64) {
    const std::size_t lengths = static_cast<std::size_t>(texts.tokens) + 1;
    std::vector<std::vector<std::int64_t>> rows(lengths);  // of each length
    for (std::int64_t row = 0; row < texts.batch; ++row)
        rows[static_cast<std::size_t>(detail::text_length(texts, row))].push_back(row);

    // The least work for all texts up to each length, and beyond which one their last group begins.
    std::vector<std::int64_t> work(lengths, std::numeric_limits<std::int64_t>::max());
    std::vector<std::size_t> beyond(lengths);
    work[0] = 0;
    for (std::size_t last = 1; last < lengths; ++last) {
        std::int64_t count = 0;
        for (std::size_t first = last; first > 0; --first) {
            count += static_cast<std::int64_t>(rows[first].size());
            const std::int64_t padded = count * static_cast<std::int64_t>(last);
            const std::int64_t all = work[first - 1] + (count > 0 ? padded + group_cost : 0);
            if (all >= work[last]) continue;
            work[last] = all;
            beyond[last] = first - 1;
        }
    }
    std::vector<TextGroup> groups;
    for (std::size_t last = lengths - 1; last > 0; last = beyond[last]) {
        TextGroup group;
        for (std::size_t length = beyond[last] + 1; length <= last; ++length)
            group.rows.insert(group.rows.end(), rows[length].begin(), rows[length].end());
        if (group.rows.empty()) continue;
        group.tokens = detail::shortened(texts, group.rows, static_cast<std::int64_t>(last));
        groups.push_back(std::move(group));
    }
    std::reverse(groups.begin(), groups.end());
    return groups;
}

// The given rows of an array [batch, ...], in that order.
inline Array take_rows(const Array& array, const std::vector<std::int64_t>& rows) {
    Shape shape = shape_of(array);
    const std::int64_t length = static_cast<std::int64_t>(array.size()) / shape.at(0);
    shape[0] = static_cast<std::int64_t>(rows.size());
    Array taken = make_array(shape);
    float* to = taken.data();
    for (const std::int64_t row : rows) to = std::copy_n(array.data() + row * length, length, to);
    return taken;
}

template <class T>
std::vector<T> take_rows(const std::vector<T>& values, const std::vector<std::int64_t>& rows) {
    std::vector<T> taken;
    for (const std::int64_t row : rows) taken.push_back(values[static_cast<std::size_t>(row)]);
    return taken;
}

}  // namespace dalle2
