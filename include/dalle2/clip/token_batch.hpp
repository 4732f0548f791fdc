// A batch of token sequences of equal length, as the text encoder takes them.
#pragma once

#include <cstdint>
#include <vector>

namespace dalle2 {

struct TokenBatch {
    std::int64_t batch = 0, tokens = 0;
    std::vector<std::int32_t> ids;   // [batch · tokens]
    std::vector<std::int32_t> mask;  // [batch · tokens], 1: a token of the text, 0: padding
};

}  // namespace dalle2
