// CLIP's text encoder with its projection (transformers' CLIPTextModelWithProjection).
#pragma once

#include <algorithm>
#include <limits>

#include <dalle2/clip/encoder.hpp>
#include <dalle2/clip/token_batch.hpp>
#include <dalle2/nn/attention_mask.hpp>

namespace dalle2 {

struct ClipTextConfig {
    ClipEncoderConfig encoder;
    std::int64_t vocab_size, max_position_embeddings, projection_dim;
    std::int64_t eos_token_id = 2;
};

template <Engine E>
struct ClipTextOutput {
    typename E::Tensor text_embedding;  // [batch, projection]
    typename E::Tensor hidden_states;   // [batch, tokens, hidden], after the final norm
};

template <Engine E>
struct ClipTextEncoder {
    using Tensor = typename E::Tensor;
    using Config = ClipTextConfig;

    Config config;
    Embedding<E> token_embedding;
    Embedding<E> position_embedding;
    ClipEncoder<E> encoder;
    LayerNorm<E> final_layer_norm;
    Linear<E> text_projection;

    explicit ClipTextEncoder(const Config& c)
        : config(c),
          token_embedding(c.vocab_size, c.encoder.hidden_size),
          position_embedding(c.max_position_embeddings, c.encoder.hidden_size),
          encoder(c.encoder),
          final_layer_norm(c.encoder.hidden_size, c.encoder.layer_norm_eps),
          text_projection(c.encoder.hidden_size, c.projection_dim, false) {}

    // The text's embedding is the state at its end-of-text token. Padding is not masked: being
    // behind that token, the causal mask hides it already.
    ClipTextOutput<E> operator()(const TokenBatch& text) const {
        const Array mask = causal(text);
        const Tensor states = final_layer_norm(encoder(tokens(text), &mask));
        const Tensor pooled =
            E::select_tokens(states, end_of_text_positions(text));  // [batch, hidden]
        return {text_projection(pooled), states};
    }

    // The embedding alone, [batch, projection], for less: no other token goes through the last
    // layer.
    Tensor embedding(const TokenBatch& text) const {
        Tensor x = tokens(text);
        const std::vector<std::int32_t> ends = end_of_text_positions(text);
        const Array mask = causal(text), end_mask = rows_of(mask, ends);
        return text_projection(
            final_layer_norm(encoder.one_token(std::move(x), &mask, ends, &end_mask)));
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("text_model.embeddings.token_embedding", self.token_embedding);
        visitor("text_model.embeddings.position_embedding", self.position_embedding);
        visitor("text_model.encoder", self.encoder);
        visitor("text_model.final_layer_norm", self.final_layer_norm);
        visitor("text_projection", self.text_projection);
    }

private:
    static Array causal(const TokenBatch& text) {
        return causal_mask(text.tokens, std::numeric_limits<float>::lowest());
    }

    // What the token at each position sees: [batch, 1, tokens].
    static Array rows_of(const Array& mask, const std::vector<std::int32_t>& positions) {
        const auto batch = static_cast<std::int64_t>(positions.size());
        const std::int64_t count = shape_of(mask).back();
        Array rows = make_array({batch, 1, count});
        for (std::int64_t b = 0; b < batch; ++b)
            std::copy_n(mask.data() + positions[static_cast<std::size_t>(b)] * count, count,
                        rows.data() + b * count);
        return rows;
    }

    // With their positions: [batch, tokens, hidden].
    Tensor tokens(const TokenBatch& text) const {
        check(text);
        std::vector<std::int32_t> positions(static_cast<std::size_t>(text.tokens));
        for (std::size_t i = 0; i < positions.size(); ++i)
            positions[i] = static_cast<std::int32_t>(i);
        const Tensor x = E::reshape(token_embedding(text.ids),
                                    {text.batch, text.tokens, config.encoder.hidden_size});
        return E::add(x, position_embedding(positions));
    }

    void check(const TokenBatch& text) const {
        if (static_cast<std::int64_t>(text.ids.size()) != text.batch * text.tokens ||
            text.ids.empty())
            throw ShapeError("text encoder: " + std::to_string(text.ids.size()) +
                             " token ids, expected " + std::to_string(text.batch) + " texts of " +
                             std::to_string(text.tokens));
        if (text.tokens > config.max_position_embeddings)
            throw ShapeError("text encoder: texts of " + std::to_string(text.tokens) +
                             " tokens, at most " + std::to_string(config.max_position_embeddings) +
                             " are possible");
    }

    // The first end-of-text token of each text. Configs of old checkpoints say 2 for its id, which
    // is wrong; the reference then takes the largest id, and so does this.
    std::vector<std::int32_t> end_of_text_positions(const TokenBatch& text) const {
        std::vector<std::int32_t> positions;
        for (std::int64_t b = 0; b < text.batch; ++b) {
            const auto begin = text.ids.begin() + b * text.tokens, end = begin + text.tokens;
            auto found = config.eos_token_id == 2 ? std::max_element(begin, end)
                                                  : std::find(begin, end, config.eos_token_id);
            if (found == end) found = begin;
            positions.push_back(static_cast<std::int32_t>(found - begin));
        }
        return positions;
    }
};

}  // namespace dalle2
