// The texts of a batch in groups of like length. Padding takes as much work as words: of captions
// of 5 to 19 tokens, 11 in the mean, a batch padded to its longest is 19 wide, in groups 12.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/clip/token_batch.hpp>
#include <dalle2/core/array.hpp>
#include <dalle2/core/error.hpp>

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
// does once for each, such as packing its weights. The token at the end of a text is one of it (its
// mask is 1); what is behind the last one of a group is gone. Throws ShapeError where ids or mask
// are not [batch · tokens], at least one token for each text.
inline std::vector<TextGroup> groups_by_length(const TokenBatch& texts,
                                               std::int64_t group_cost = 64) {
    const auto count = static_cast<std::size_t>(texts.batch);
    const std::size_t tokens = count * static_cast<std::size_t>(texts.tokens);
    if (texts.ids.size() != tokens || texts.mask.size() != tokens || (count > 0 && tokens == 0))
        throw ShapeError("texts: " + std::to_string(texts.ids.size()) + " token ids and " +
                         std::to_string(texts.mask.size()) + " of a mask, expected " +
                         std::to_string(texts.batch) + " texts of " + std::to_string(texts.tokens));
    std::vector<std::int64_t> lengths, order(count);
    for (std::int64_t row = 0; row < texts.batch; ++row)
        lengths.push_back(detail::text_length(texts, row));
    const auto length_of = [&](std::int64_t row) { return lengths[static_cast<std::size_t>(row)]; };
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::int64_t a, std::int64_t b) { return length_of(a) < length_of(b); });

    // Groups end where the length changes. Of all texts up to each such place: the least work, and
    // at which of these places their last group begins.
    std::vector<std::size_t> places = {0};
    for (std::size_t i = 1; i <= count; ++i)
        if (i == count || length_of(order[i]) > length_of(order[i - 1])) places.push_back(i);
    std::vector<std::int64_t> work(places.size());
    std::vector<std::size_t> begins(places.size());
    for (std::size_t end = 1; end < places.size(); ++end) {
        work[end] = std::numeric_limits<std::int64_t>::max();
        for (std::size_t begin = 0; begin < end; ++begin) {
            const auto rows = static_cast<std::int64_t>(places[end] - places[begin]);
            const std::int64_t all =
                work[begin] + rows * length_of(order[places[end] - 1]) + group_cost;
            if (all >= work[end]) continue;
            work[end] = all;
            begins[end] = begin;
        }
    }
    std::vector<TextGroup> groups;
    for (std::size_t end = places.size() - 1; end > 0; end = begins[end]) {
        const auto at = [&](std::size_t place) {
            return order.begin() + static_cast<std::ptrdiff_t>(places[place]);
        };
        TextGroup group{{at(begins[end]), at(end)}, {}};
        group.tokens = detail::shortened(texts, group.rows, length_of(group.rows.back()));
        groups.push_back(std::move(group));
    }
    std::reverse(groups.begin(), groups.end());
    return groups;
}

// The given rows of an array [batch, ...], batch ≥ 1, in that order; each may come several times.
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
