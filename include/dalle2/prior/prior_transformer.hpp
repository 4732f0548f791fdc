// The diffusion prior: from a text to the CLIP embedding of a picture (Ramesh et al. 2022,
// section 2.2; diffusers' PriorTransformer).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <dalle2/clip/token_batch.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/nn/attention_mask.hpp>
#include <dalle2/nn/keys_and_values.hpp>
#include <dalle2/nn/layers.hpp>
#include <dalle2/nn/timestep_embedding.hpp>

namespace dalle2 {

struct PriorConfig {
    std::int64_t embedding_dim;                            // of the CLIP embeddings
    std::int64_t num_attention_heads, attention_head_dim;  // their product is the width
    std::int64_t num_layers;
    std::int64_t num_embeddings = 77;  // text tokens
    std::int64_t additional_embeddings = 4;
};

template <Engine E>
struct PriorBlock {
    using Tensor = typename E::Tensor;

    struct Attention {
        Linear<E> to_q, to_k, to_v;
        std::vector<Linear<E>> to_out;

        template <class Self, class Visitor>
        static void visit(Self& self, Visitor&& visitor) {
            visitor("to_q", self.to_q);
            visitor("to_k", self.to_k);
            visitor("to_v", self.to_v);
            visitor("to_out", self.to_out);
        }
    };

    std::int64_t heads;
    LayerNorm<E> norm1;
    Attention attn1;
    LayerNorm<E> norm3;
    Linear<E> ff_in, ff_out;

    PriorBlock(std::int64_t width, std::int64_t num_heads)
        : heads(num_heads),
          norm1(width),
          attn1{Linear<E>(width, width),
                Linear<E>(width, width),
                Linear<E>(width, width),
                {Linear<E>(width, width)}},
          norm3(width),
          ff_in(width, 4 * width),
          ff_out(4 * width, width) {}

    // x [batch, tokens, width] → the same. The tokens look at one another and, where `before` is
    // not null, at the tokens before them. Where `seen` is not null, what later tokens see of them
    // all is added to it.
    Tensor operator()(Tensor x, const Array& mask, const KeysAndValues<E>* before,
                      std::vector<KeysAndValues<E>>* seen) const {
        const Tensor h = norm1(x);
        KeysAndValues<E> visible = shown(h, before);
        x = attend(h, visible, mask, x);
        if (seen) seen->push_back(std::move(visible));
        return perceptron(x);
    }

    // The last of the tokens that this makes: x [batch, tokens, width], mask [batch, 1, keys] →
    // [batch, 1, width]. The others are only looked at.
    Tensor last_token(const Tensor& x, const Array& mask, const KeysAndValues<E>* before) const {
        const auto last = [](const Tensor& all) {
            const std::int64_t tokens = E::shape(all)[1];
            return E::slice(all, 1, tokens - 1, tokens);
        };
        const Tensor h = norm1(x);
        return perceptron(attend(last(h), shown(h, before), mask, last(x)));
    }

    // What later tokens see of x, all that the last block has to make of a text.
    KeysAndValues<E> shown(const Tensor& x) const { return shown(norm1(x), nullptr); }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("norm1", self.norm1);
        visitor("attn1", self.attn1);
        visitor("norm3", self.norm3);
        visitor("ff.net.0.proj", self.ff_in);
        visitor("ff.net.2", self.ff_out);
    }

private:
    KeysAndValues<E> shown(const Tensor& h, const KeysAndValues<E>* before) const {
        KeysAndValues<E> own = {attn1.to_k(h), attn1.to_v(h)};
        return before ? before->followed_by(own) : own;
    }

    Tensor attend(const Tensor& queries, const KeysAndValues<E>& visible, const Array& mask,
                  const Tensor& residual) const {
        return attn1.to_out[0](E::attention(attn1.to_q(queries), visible.keys, visible.values,
                                            {.heads = heads, .mask = &mask}),
                               &residual);
    }

    Tensor perceptron(const Tensor& x) const {
        return ff_out(ff_in(norm3(x), Activation::gelu), &x);
    }
};

// What of the prior's work depends on the text alone. The attention is causal and the text stands
// first, so what its tokens become is the same in every step.
template <Engine E>
struct PreparedText {
    std::vector<KeysAndValues<E>> seen;  // of the text's tokens, by each block
    Array mask;                          // [batch, 3, tokens + 4]: what the last three tokens see
    Array last_mask;                     // [batch, 1, tokens + 4]: the last of them
};

template <Engine E>
struct PriorTransformer {
    using Tensor = typename E::Tensor;
    using Parameter = typename E::Parameter;
    using Config = PriorConfig;

    Config config;
    std::int64_t width;
    Parameter positional_embedding;
    Parameter prd_embedding;
    Parameter clip_mean, clip_std;
    TimestepEmbedding<E> time_embedding;
    Linear<E> proj_in;
    Linear<E> embedding_proj;
    Linear<E> encoder_hidden_states_proj;
    std::vector<PriorBlock<E>> transformer_blocks;
    LayerNorm<E> norm_out;
    Linear<E> proj_to_clip_embeddings;

    explicit PriorTransformer(const Config& c)
        : config(c),
          width(c.num_attention_heads * c.attention_head_dim),
          positional_embedding({1, c.num_embeddings + c.additional_embeddings, width},
                               ParameterKind::tensor),
          prd_embedding({1, 1, width}, ParameterKind::tensor),
          clip_mean({1, c.embedding_dim}, ParameterKind::tensor),
          clip_std({1, c.embedding_dim}, ParameterKind::tensor),
          time_embedding(width, width),
          proj_in(c.embedding_dim, width),
          embedding_proj(c.embedding_dim, width),
          encoder_hidden_states_proj(c.embedding_dim, width),
          norm_out(width),
          proj_to_clip_embeddings(width, c.embedding_dim) {
        if (c.num_layers < 1)
            throw ConfigError("a prior of " + std::to_string(c.num_layers) +
                              " layers; expected 1 or more");
        for (std::int64_t i = 0; i < c.num_layers; ++i)
            transformer_blocks.emplace_back(width, c.num_attention_heads);
    }

    // The sequence that the blocks see, [batch, tokens + 4, width], is made of two parts: the
    // text, and what changes from step to step.

    // text_embedding [batch, embedding], text_states [batch, tokens, embedding]
    // → [batch, tokens + 1, width].
    Tensor text_tokens(const Tensor& text_embedding, const Tensor& text_states) const {
        const std::int64_t tokens = E::shape(text_states)[1];
        const Tensor h = E::concatenate(
            {encoder_hidden_states_proj(text_states), as_tokens(embedding_proj(text_embedding))},
            1);
        // With fewer text tokens than the model was made for (padding left away), the added tokens
        // keep the positions that they were trained at.
        const Tensor all = E::value(positional_embedding);
        const std::int64_t last = config.num_embeddings;
        return E::add(
            h, E::reshape(E::concatenate(
                              {E::slice(all, 1, 0, tokens), E::slice(all, 1, last, last + 1)}, 1),
                          {tokens + 1, width}));
    }

    // The time, the noisy embedding, and the token whose place the answer takes: x [batch,
    // embedding], time [batch, width] → [batch, 3, width].
    Tensor step_tokens(const Tensor& x, const Tensor& time) const {
        const std::int64_t batch = E::shape(x)[0], first = config.num_embeddings + 1;
        const Tensor h = E::concatenate(
            {as_tokens(time), as_tokens(proj_in(x)), E::repeat(E::value(prd_embedding), batch)}, 1);
        return E::add(h, E::reshape(E::slice(E::value(positional_embedding), 1, first, first + 3),
                                    {3, width}));
    }

    // timesteps [rows] → [rows, width]; of all steps at once, if one likes.
    Tensor prepare(std::span<const double> timesteps) const {
        return time_embedding(E::from_array(sinusoidal_embedding(timesteps, width)));
    }

    // keep [batch · tokens] (0: padding). Where the first text stands for several, `first_rows`
    // says for how many.
    PreparedText<E> prepare(const Tensor& text_embedding, const Tensor& text_states,
                            std::span<const std::int32_t> keep, std::int64_t first_rows = 1) const {
        const std::int64_t batch = E::shape(text_states)[0], tokens = E::shape(text_states)[1];
        PreparedText<E> prepared;
        const Tensor h =
            run_blocks(text_tokens(text_embedding, text_states),
                       attention_mask(keep, batch, 0, tokens + 1, tokens + 1), {}, &prepared.seen);
        prepared.seen.push_back(transformer_blocks.back().shown(h));
        for (KeysAndValues<E>& seen : prepared.seen) seen = repeat_first(seen, first_rows);
        const std::vector<std::int32_t> all = repeat_first(keep, batch, first_rows);
        const std::int64_t rows = batch + first_rows - 1;
        prepared.mask = attention_mask(all, rows, tokens + 1, 3, tokens + 4);
        prepared.last_mask = attention_mask(all, rows, tokens + 3, 1, tokens + 4);
        return prepared;
    }

    // The clean image embedding, predicted from a noisy one: x [batch, embedding], in the prior's
    // normalised space; time [batch, width]; → [batch, embedding].
    Tensor operator()(const Tensor& x, const Tensor& time, const PreparedText<E>& text) const {
        return answer(run_blocks(step_tokens(x, time), text.mask, text.seen), text.last_mask,
                      &text.seen.back());
    }

    // The same with everything in one: a timestep for each of the batch, and the text as above.
    Tensor operator()(const Tensor& x, std::span<const double> timesteps,
                      const Tensor& text_embedding, const Tensor& text_states,
                      std::span<const std::int32_t> keep) const {
        const std::int64_t batch = E::shape(text_states)[0], tokens = E::shape(text_states)[1];
        const Tensor h = E::concatenate(
            {text_tokens(text_embedding, text_states), step_tokens(x, prepare(timesteps))}, 1);
        return answer(run_blocks(h, attention_mask(keep, batch, 0, tokens + 4, tokens + 4)),
                      attention_mask(keep, batch, tokens + 3, 1, tokens + 4));
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("positional_embedding", self.positional_embedding);
        visitor("prd_embedding", self.prd_embedding);
        visitor("clip_mean", self.clip_mean);
        visitor("clip_std", self.clip_std);
        visitor("time_embedding", self.time_embedding);
        visitor("proj_in", self.proj_in);
        visitor("embedding_proj", self.embedding_proj);
        visitor("encoder_hidden_states_proj", self.encoder_hidden_states_proj);
        visitor("transformer_blocks", self.transformer_blocks);
        visitor("norm_out", self.norm_out);
        visitor("proj_to_clip_embeddings", self.proj_to_clip_embeddings);
    }

private:
    // [batch, width] → [batch, 1, width].
    Tensor as_tokens(const Tensor& x) const { return E::reshape(x, {E::shape(x)[0], 1, width}); }

    // All blocks but the last, of whose output only one token counts. h [batch, tokens, width];
    // `before` (empty: nothing) is what each block sees of the tokens before these, and `seen`
    // collects what it shows to later ones.
    Tensor run_blocks(Tensor h, const Array& mask, const std::vector<KeysAndValues<E>>& before = {},
                      std::vector<KeysAndValues<E>>* seen = nullptr) const {
        for (std::size_t i = 0; i + 1 < transformer_blocks.size(); ++i)
            h = transformer_blocks[i](h, mask, before.empty() ? nullptr : &before.at(i), seen);
        return h;
    }

    // The last token of what the last block makes of h, as an embedding.
    Tensor answer(const Tensor& h, const Array& mask,
                  const KeysAndValues<E>* before = nullptr) const {
        const Tensor last = transformer_blocks.back().last_token(h, mask, before);
        return proj_to_clip_embeddings(E::reshape(norm_out(last), {E::shape(h)[0], width}));
    }

    // [batch, queries, keys], for the tokens from `first` on: causal, and padding hidden.
    static Array attention_mask(std::span<const std::int32_t> keep, std::int64_t batch,
                                std::int64_t first, std::int64_t queries, std::int64_t keys) {
        const std::int64_t tokens = static_cast<std::int64_t>(keep.size()) / batch;
        const Array causal = xt::view(causal_mask(keys, masked_score), xt::all(),
                                      xt::range(first, first + queries), xt::all());
        return causal + padding_mask(keep, batch, 0, keys - tokens);
    }
};

}  // namespace dalle2
