// What a CLIP tokenizer is told beside its vocabulary.
#pragma once

#include <cstdint>
#include <vector>

#include <dalle2/text/special_tokens.hpp>

namespace dalle2 {

// Which of transformers' two classes gives the tokens; clip_tokenizer.hpp says how they differ.
enum class TokenizerBehaviour {
    fast,  // CLIPTokenizerFast
    slow   // CLIPTokenizer, without ftfy
};

struct ClipTokenizerOptions {
    SpecialToken start{"<|startoftext|>"};
    SpecialToken end{"<|endoftext|>"};
    SpecialToken pad{"<|endoftext|>"};
    std::vector<SpecialToken> others = {};
    std::int64_t max_length = 77;  // start and end included
    TokenizerBehaviour behaviour = TokenizerBehaviour::fast;
};

}  // namespace dalle2
