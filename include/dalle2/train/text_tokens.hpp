// A tokenizer as the source of a training batch's tokens.
#pragma once

#include <algorithm>

#include <dalle2/text/clip_tokenizer.hpp>
#include <dalle2/train/samples.hpp>

namespace dalle2 {

// Batches are as long as their longest text: the padding behind it would change nothing.
inline TextTokens text_tokens(ClipTokenizer tokenizer) {
    return [tokenizer = std::move(tokenizer)](const std::vector<std::string>& texts) {
        std::vector<Tokens> all;
        std::int64_t longest = 0;
        for (const std::string& text : texts) {
            all.push_back(tokenizer(text));
            longest = std::max(longest, all.back().length);
        }
        TokenBatch batch{static_cast<std::int64_t>(texts.size()), longest, {}, {}};
        for (const Tokens& tokens : all) {
            batch.ids.insert(batch.ids.end(), tokens.ids.begin(), tokens.ids.begin() + longest);
            batch.mask.insert(batch.mask.end(), tokens.mask.begin(), tokens.mask.begin() + longest);
        }
        return batch;
    };
}

}  // namespace dalle2
