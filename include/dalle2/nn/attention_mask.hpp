// Additive attention masks, made on the host: 0 where a query may look, a large negative
// number where it may not.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <dalle2/core/array.hpp>

namespace dalle2 {

// What diffusers' unCLIP models add to a forbidden score. A finite number, so that a row in which
// everything is forbidden stays a number.
inline constexpr float masked_score = -10000.0f;

// [1, tokens, tokens]: token i looks at tokens 0..i.
inline Array causal_mask(std::int64_t tokens, float forbidden) {
    Array mask = make_array({1, tokens, tokens});
    for (std::int64_t query = 0; query < tokens; ++query)
        for (std::int64_t key = query + 1; key < tokens; ++key) mask(0, query, key) = forbidden;
    return mask;
}

// Is nothing of keep padding? Then no mask is needed.
inline bool keeps_all(std::span<const std::int32_t> keep) {
    return std::find(keep.begin(), keep.end(), 0) == keep.end();
}

// keep [rows · tokens], whose first row stands for `times` → [(times + rows - 1) · tokens].
inline std::vector<std::int32_t> repeat_first(std::span<const std::int32_t> keep, std::int64_t rows,
                                              std::int64_t times) {
    const auto first = keep.first(keep.size() / static_cast<std::size_t>(rows));
    std::vector<std::int32_t> repeated;
    for (std::int64_t i = 1; i < times; ++i)
        repeated.insert(repeated.end(), first.begin(), first.end());
    repeated.insert(repeated.end(), keep.begin(), keep.end());
    return repeated;
}

// keep [batch · tokens] (1: a word, 0: padding) → [batch, 1, before + tokens + after]; the keys
// before and after the tokens are always visible.
inline Array padding_mask(std::span<const std::int32_t> keep, std::int64_t batch,
                          std::int64_t before, std::int64_t after) {
    const std::int64_t tokens = static_cast<std::int64_t>(keep.size()) / batch;
    Array mask = make_array({batch, 1, before + tokens + after});
    for (std::int64_t b = 0; b < batch; ++b)
        for (std::int64_t token = 0; token < tokens; ++token)
            if (!keep[static_cast<std::size_t>(b * tokens + token)])
                mask(b, 0, before + token) = masked_score;
    return mask;
}

}  // namespace dalle2
