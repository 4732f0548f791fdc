// A tokenizer as the source of a training batch's tokens.
#pragma once

#include <utility>

#include <dalle2/pipeline/encoded_text.hpp>
#include <dalle2/train/samples.hpp>

namespace dalle2 {

// Batches are as long as their longest text: the padding behind it would change nothing.
template <class Tokenizer>
TextTokens text_tokens(Tokenizer tokenizer) {
    return [tokenizer = std::move(tokenizer)](const std::vector<std::string>& texts) {
        return token_batch(tokenizer, texts, Padding::trim);
    };
}

}  // namespace dalle2
