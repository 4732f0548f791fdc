// Where training samples come from.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <dalle2/clip/token_batch.hpp>
#include <dalle2/core/array.hpp>
#include <dalle2/kernels/parallel.hpp>

namespace dalle2 {

// Sample `index` of a data set: returns its caption and, unless `pixels` is null, writes its
// picture [size, size, 3] in [-1, 1]. A pure function of its arguments, called from several
// threads.
using SampleSource =
    std::function<std::string(std::uint64_t index, std::int64_t size, float* pixels)>;

// Texts → tokens, padded to the longest of them.
using TextTokens = std::function<TokenBatch(const std::vector<std::string>& texts)>;

struct SampleBatch {
    std::vector<std::string> captions;
    Array pictures;  // [batch, size, size, 3]
};

inline SampleBatch read_batch(const SampleSource& source, std::uint64_t first, std::int64_t batch,
                              std::int64_t size) {
    SampleBatch result{std::vector<std::string>(static_cast<std::size_t>(batch)),
                       make_array({batch, size, size, 3})};
    kernels::parallel_for(batch, [&](std::int64_t b, int) {
        result.captions[static_cast<std::size_t>(b)] =
            source(first + static_cast<std::uint64_t>(b), size,
                   result.pictures.data() + b * size * size * 3);
    });
    return result;
}

}  // namespace dalle2
