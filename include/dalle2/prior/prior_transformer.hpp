// The diffusion prior: from a text to the CLIP embedding of a picture (Ramesh et al. 2022,
// section 2.2; diffusers' PriorTransformer).
#pragma once

#include <dalle2/clip/token_batch.hpp>
#include <dalle2/nn/attention_mask.hpp>
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

    // x [batch, tokens, width] → the same.
    Tensor operator()(Tensor x, const Array& mask) const {
        const Tensor h = norm1(x);
        const Tensor attended = E::attention(attn1.to_q(h), attn1.to_k(h), attn1.to_v(h),
                                             {.heads = heads, .mask = &mask});
        x = E::add(x, attn1.to_out[0](attended));
        return E::add(x, ff_out(E::activate(ff_in(norm3(x)), Activation::gelu)));
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("norm1", self.norm1);
        visitor("attn1", self.attn1);
        visitor("norm3", self.norm3);
        visitor("ff.net.0.proj", self.ff_in);
        visitor("ff.net.2", self.ff_out);
    }
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
        for (std::int64_t i = 0; i < c.num_layers; ++i)
            transformer_blocks.emplace_back(width, c.num_attention_heads);
    }

    // The clean image embedding, predicted from a noisy one: x [batch, embedding], in the prior's
    // normalised space; one timestep for each of the batch; text_embedding [batch, embedding];
    // text_states [batch, tokens, embedding]; keep [batch · tokens] (0: padding).
    Tensor operator()(const Tensor& x, std::span<const double> timesteps,
                      const Tensor& text_embedding, const Tensor& text_states,
                      std::span<const std::int32_t> keep) const {
        const Shape text_shape = E::shape(text_states);
        const std::int64_t batch = text_shape[0], tokens = text_shape[1];
        const Array mask = attention_mask(keep, batch, tokens);
        const auto as_token = [&](const Tensor& t) { return E::reshape(t, {batch, 1, width}); };

        const Tensor time = time_embedding(E::from_array(sinusoidal_embedding(timesteps, width)));
        Tensor h = E::concatenate(
            {encoder_hidden_states_proj(text_states), as_token(embedding_proj(text_embedding)),
             as_token(time), as_token(proj_in(x)), E::repeat(E::value(prd_embedding), batch)},
            1);  // [batch, tokens + 4, width]
        h = E::add(h, positions(tokens));
        for (const PriorBlock<E>& block : transformer_blocks) h = block(h, mask);
        const std::int64_t query = tokens + config.additional_embeddings - 1;
        const Tensor answer = E::slice(norm_out(h), 1, query, query + 1);
        return proj_to_clip_embeddings(E::reshape(answer, {batch, width}));
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
    // [tokens + 4, width]. With fewer text tokens than the model was made for (padding left away),
    // the added tokens keep the positions that they were trained at.
    Tensor positions(std::int64_t tokens) const {
        const Tensor all = E::value(positional_embedding);
        const std::int64_t last = config.num_embeddings + config.additional_embeddings;
        const std::int64_t length = tokens + config.additional_embeddings;
        if (tokens == config.num_embeddings) return E::reshape(all, {length, width});
        return E::reshape(
            E::concatenate(
                {E::slice(all, 1, 0, tokens), E::slice(all, 1, config.num_embeddings, last)}, 1),
            {length, width});
    }

    // [batch, tokens + 4, tokens + 4]: causal, and padding hidden.
    Array attention_mask(std::span<const std::int32_t> keep, std::int64_t batch,
                         std::int64_t tokens) const {
        const std::int64_t length = tokens + config.additional_embeddings;
        const Array causal = causal_mask(length, masked_score);
        const Array padding = padding_mask(keep, batch, 0, config.additional_embeddings);
        return causal + padding;
    }
};

}  // namespace dalle2
