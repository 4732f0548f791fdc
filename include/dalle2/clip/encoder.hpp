// The transformer shared by CLIP's text and image towers (Radford et al. 2021, section 2.4):
// pre-norm self-attention and a two-layer perceptron, each with a residual.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/nn/layers.hpp>

namespace dalle2 {

struct ClipEncoderConfig {
    std::int64_t hidden_size, intermediate_size, num_attention_heads, num_hidden_layers;
    Activation hidden_act = Activation::quick_gelu;
    double layer_norm_eps = 1e-5;
};

template <Engine E>
struct ClipSelfAttention {
    using Tensor = typename E::Tensor;

    std::int64_t heads;
    Linear<E> k_proj, v_proj, q_proj, out_proj;

    explicit ClipSelfAttention(const ClipEncoderConfig& c)
        : heads(c.num_attention_heads),
          k_proj(c.hidden_size, c.hidden_size),
          v_proj(c.hidden_size, c.hidden_size),
          q_proj(c.hidden_size, c.hidden_size),
          out_proj(c.hidden_size, c.hidden_size) {}

    // What the tokens of `queries` see of those of x, plus the residual.
    Tensor operator()(const Tensor& queries, const Tensor& x, const Array* mask,
                      const Tensor& residual) const {
        return out_proj(
            E::attention(q_proj(queries), k_proj(x), v_proj(x), {.heads = heads, .mask = mask}),
            &residual);
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("k_proj", self.k_proj);
        visitor("v_proj", self.v_proj);
        visitor("q_proj", self.q_proj);
        visitor("out_proj", self.out_proj);
    }
};

template <Engine E>
struct ClipMlp {
    Linear<E> fc1, fc2;
    Activation activation;

    explicit ClipMlp(const ClipEncoderConfig& c)
        : fc1(c.hidden_size, c.intermediate_size),
          fc2(c.intermediate_size, c.hidden_size),
          activation(c.hidden_act) {}

    typename E::Tensor operator()(const typename E::Tensor& x,
                                  const typename E::Tensor& residual) const {
        return fc2(fc1(x, activation), &residual);
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("fc1", self.fc1);
        visitor("fc2", self.fc2);
    }
};

template <Engine E>
struct ClipEncoderLayer {
    using Tensor = typename E::Tensor;

    ClipSelfAttention<E> self_attn;
    LayerNorm<E> layer_norm1;
    ClipMlp<E> mlp;
    LayerNorm<E> layer_norm2;

    explicit ClipEncoderLayer(const ClipEncoderConfig& c)
        : self_attn(c),
          layer_norm1(c.hidden_size, c.layer_norm_eps),
          mlp(c),
          layer_norm2(c.hidden_size, c.layer_norm_eps) {}

    // x [batch, tokens, hidden] → the same.
    Tensor operator()(Tensor x, const Array* mask) const {
        const Tensor h = layer_norm1(x);
        x = self_attn(h, h, mask, x);
        return mlp(layer_norm2(x), x);
    }

    // One token of each of the batch, of what this makes: x [batch, tokens, hidden], positions
    // [batch], mask [batch, 1, tokens] or null → [batch, hidden]. The other tokens are only looked
    // at, which takes a sixth of a layer's work.
    Tensor one_token(const Tensor& x, std::span<const std::int32_t> positions,
                     const Array* mask) const {
        const Shape shape = E::shape(x);
        const Tensor h = layer_norm1(x);
        const auto selected = [&](const Tensor& all) {
            return E::reshape(E::select_tokens(all, positions), {shape[0], 1, shape[2]});
        };
        const Tensor token = self_attn(selected(h), h, mask, selected(x));
        return E::reshape(mlp(layer_norm2(token), token), {shape[0], shape[2]});
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("self_attn", self.self_attn);
        visitor("layer_norm1", self.layer_norm1);
        visitor("mlp", self.mlp);
        visitor("layer_norm2", self.layer_norm2);
    }
};

template <Engine E>
struct ClipEncoder {
    using Tensor = typename E::Tensor;

    std::vector<ClipEncoderLayer<E>> layers;

    explicit ClipEncoder(const ClipEncoderConfig& c) {
        if (c.num_hidden_layers < 1)
            throw ConfigError("an encoder of " + std::to_string(c.num_hidden_layers) +
                              " layers; expected 1 or more");
        for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) layers.emplace_back(c);
    }

    // x [batch, tokens, hidden] → the same.
    Tensor operator()(Tensor x, const Array* mask) const {
        return run(std::move(x), mask, layers.size());
    }

    // One token of each of the batch, all that an embedding is made of: as ClipEncoderLayer's
    // one_token, with `token_mask` for what it sees in the last layer.
    Tensor one_token(Tensor x, const Array* mask, std::span<const std::int32_t> positions,
                     const Array* token_mask) const {
        return layers.back().one_token(run(std::move(x), mask, layers.size() - 1), positions,
                                       token_mask);
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("layers", self.layers);
    }

private:
    Tensor run(Tensor x, const Array* mask, std::size_t count) const {
        for (std::size_t i = 0; i < count; ++i) x = layers[i](x, mask);
        return x;
    }
};

}  // namespace dalle2
