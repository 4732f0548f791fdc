// A check sum as fast as memory, for weights: against damage, not against intent.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <dalle2/kernels/parallel.hpp>

namespace dalle2 {

namespace detail {

// h becomes the turned bits of (h + word)·odd for each word, which is one to one in both: one that
// differs always tells, wherever it is. (Without turning, the top bits of two words could cancel:
// signs.) Eight sums at once, as one waits for itself.
inline std::uint64_t check_sum_of_piece(std::span<const std::byte> bytes) {
    constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;
    constexpr std::size_t chains = 8, word = sizeof(std::uint64_t), block = chains * word;
    std::uint64_t sums[chains] = {}, words[chains];
    std::size_t at = 0;
    for (; at + block <= bytes.size(); at += block) {
        std::memcpy(words, bytes.data() + at, block);
        for (std::size_t i = 0; i < chains; ++i)
            sums[i] = std::rotl((sums[i] + words[i]) * odd, 29);
    }
    std::fill_n(words, chains, 0);
    if (at < bytes.size()) std::memcpy(words, bytes.data() + at, bytes.size() - at);
    std::uint64_t total = bytes.size();
    for (std::size_t i = 0; i < chains; ++i) {
        sums[i] = std::rotl((sums[i] + words[i]) * odd, 29);
        total = std::rotl((total + sums[i]) * odd, 29);
    }
    return total ^ (total >> 32);
}

}  // namespace detail

// Of all bytes, by all threads; the same for any number of them.
inline std::uint64_t check_sum(std::span<const std::byte> bytes) {
    constexpr std::size_t piece = std::size_t{1} << 20;
    std::vector<std::uint64_t> sums((bytes.size() + piece - 1) / piece);
    kernels::parallel_for(static_cast<std::int64_t>(sums.size()), [&](std::int64_t i, int) {
        const auto index = static_cast<std::size_t>(i);
        sums[index] = detail::check_sum_of_piece(
            bytes.subspan(index * piece, std::min(piece, bytes.size() - index * piece)));
    });
    return detail::check_sum_of_piece(std::as_bytes(std::span(sums)));
}

}  // namespace dalle2
