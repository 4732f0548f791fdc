// Texts on their way from the text encoder to the prior and the decoder.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <dalle2/clip/text_encoder.hpp>
#include <dalle2/core/array.hpp>
#include <dalle2/core/finite.hpp>
#include <dalle2/engine/profile.hpp>
#include <dalle2/text/clip_tokenizer.hpp>

namespace dalle2 {

// A batch of texts as CLIP sees them.
struct EncodedText {
    Array text_embedding;            // [batch, embedding]
    Array hidden_states;             // [batch, tokens, hidden]
    std::vector<std::int32_t> keep;  // [batch · tokens], 1: a token of the text, 0: padding

    std::int64_t batch() const { return shape_of(text_embedding).at(0); }
    std::int64_t tokens() const { return shape_of(hidden_states).at(1); }
};

// What a prompt's padding is good for: nothing. The text encoder is causal, and the prior and the
// decoder do not look at it, so the result is the same without, up to rounding, and cheaper.
enum class Padding { keep, trim };

// Token sequences of equal length as one batch; with Padding::trim, as long as the longest text.
template <class Tokenizer>
TokenBatch token_batch(const Tokenizer& tokenizer, const std::vector<std::string>& prompts,
                       Padding padding = Padding::trim) {
    std::vector<Tokens> texts;
    std::size_t longest = 0;
    for (const std::string& prompt : prompts) {
        texts.push_back(tokenizer(prompt));
        const Tokens& text = texts.back();
        longest =
            std::max(longest, padding == Padding::keep ? text.ids.size()
                                                       : static_cast<std::size_t>(text.length));
    }
    TokenBatch batch = {
        static_cast<std::int64_t>(texts.size()), static_cast<std::int64_t>(longest), {}, {}};
    for (const Tokens& text : texts) {
        const auto count = static_cast<std::ptrdiff_t>(longest);
        batch.ids.insert(batch.ids.end(), text.ids.begin(), text.ids.begin() + count);
        batch.mask.insert(batch.mask.end(), text.mask.begin(), text.mask.begin() + count);
    }
    return batch;
}

template <Engine E>
EncodedText encode_text(const ClipTextEncoder<E>& text_encoder, const TokenBatch& tokens) {
    const ProfileRegion region("text_encoder");
    const ClipTextOutput<E> output = text_encoder(tokens);
    EncodedText encoded{E::to_array(output.text_embedding), E::to_array(output.hidden_states),
                        tokens.mask};
    check_finite(encoded.text_embedding, "text encoder");
    check_finite(encoded.hidden_states, "text encoder");
    return encoded;
}

// `text`, a batch of one, as a batch of several.
inline EncodedText repeated(const EncodedText& text, std::int64_t times) {
    const Shape embedding = shape_of(text.text_embedding), states = shape_of(text.hidden_states);
    EncodedText batch = {
        make_array({times, embedding.at(1)}), make_array({times, states.at(1), states.at(2)}), {}};
    for (std::int64_t row = 0; row < times; ++row) {
        std::copy(text.text_embedding.begin(), text.text_embedding.end(),
                  batch.text_embedding.data() + row * embedding[1]);
        std::copy(text.hidden_states.begin(), text.hidden_states.end(),
                  batch.hidden_states.data() + row * states[1] * states[2]);
        batch.keep.insert(batch.keep.end(), text.keep.begin(), text.keep.end());
    }
    return batch;
}

// Both batches as one, `first` before `second`; the shorter texts are padded. Throws ShapeError
// when the batches do not go together: `first` is one text, or one for each of `second`.
inline EncodedText joined(const EncodedText& first, const EncodedText& second) {
    const std::int64_t width = shape_of(second.hidden_states).at(2);
    const std::int64_t tokens = std::max(first.tokens(), second.tokens());
    const std::int64_t embedding = shape_of(second.text_embedding).at(1);
    if ((first.batch() != 1 && first.batch() != second.batch()) ||
        shape_of(first.hidden_states).at(2) != width ||
        shape_of(first.text_embedding).at(1) != embedding)
        throw ShapeError("texts " + to_string(shape_of(first.hidden_states)) + " and " +
                         to_string(shape_of(second.hidden_states)) +
                         " cannot be joined; expected as many texts (or one), of equal width");
    const std::int64_t rows = first.batch() + second.batch();
    EncodedText both = {make_array({rows, embedding}), make_array({rows, tokens, width}),
                        std::vector<std::int32_t>(static_cast<std::size_t>(rows * tokens))};
    for (std::int64_t row = 0; row < rows; ++row) {
        const EncodedText& from = row < first.batch() ? first : second;
        const std::int64_t text = row < first.batch() ? row : row - first.batch();
        std::copy_n(from.text_embedding.data() + text * embedding, embedding,
                    both.text_embedding.data() + row * embedding);
        std::copy_n(from.hidden_states.data() + text * from.tokens() * width, from.tokens() * width,
                    both.hidden_states.data() + row * tokens * width);
        std::copy_n(from.keep.begin() + text * from.tokens(), from.tokens(),
                    both.keep.begin() + row * tokens);
    }
    return both;
}

// Texts as guidance sees them: the unconditional ones, then the conditional. Where one empty
// prompt stands for the whole batch, it is one row, and `first_rows` says for how many it stands:
// what is made of it is made once.
struct GuidedText {
    EncodedText text;
    std::int64_t first_rows = 1;
};

inline GuidedText guided_text(const EncodedText& unconditional, const EncodedText& text) {
    return {joined(unconditional, text), unconditional.batch() == 1 ? text.batch() : 1};
}

}  // namespace dalle2
