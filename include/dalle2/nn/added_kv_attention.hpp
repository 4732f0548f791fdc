// The attention of the unCLIP decoder: the picture attends to itself and to the context in one
// softmax (diffusers' Attention with AttnAddedKVProcessor; GLIDE, section 4.1).
#pragma once

#include <dalle2/nn/keys_and_values.hpp>
#include <dalle2/nn/layers.hpp>

namespace dalle2 {

struct AddedKvAttentionOptions {
    std::int64_t channels, context_width;
    std::int64_t head_width = 64;
    std::int64_t groups = 32;
};

template <Engine E>
struct AddedKvAttention {
    using Tensor = typename E::Tensor;

    std::int64_t heads;
    GroupNorm<E> group_norm;
    Linear<E> to_q, to_k, to_v;
    Linear<E> add_k_proj, add_v_proj;
    std::vector<Linear<E>> to_out;  // a list of one, as the checkpoints name it: to_out.0

    explicit AddedKvAttention(const AddedKvAttentionOptions& o)
        : heads(o.channels / o.head_width),
          group_norm(o.channels, {.groups = o.groups}),
          to_q(o.channels, o.channels),
          to_k(o.channels, o.channels),
          to_v(o.channels, o.channels),
          add_k_proj(o.context_width, o.channels),
          add_v_proj(o.context_width, o.channels),
          to_out(1, Linear<E>(o.channels, o.channels)) {}

    // context [batch, tokens, context width], which is the same in every step.
    KeysAndValues<E> prepare(const Tensor& context) const {
        return {add_k_proj(context), add_v_proj(context)};
    }

    // x [batch, height, width, channels], the prepared context,
    // mask [batch, 1, tokens + height·width] or null → the shape of x.
    Tensor operator()(const Tensor& x, const KeysAndValues<E>& context, const Array* mask) const {
        const Shape shape = E::shape(x);
        const Shape as_tokens = {shape[0], shape[1] * shape[2], shape[3]};
        const Tensor h = E::reshape(group_norm(x), as_tokens);
        const auto [keys, values] = context.followed_by({to_k(h), to_v(h)});
        const Tensor attended = E::attention(to_q(h), keys, values, {.heads = heads, .mask = mask});
        const Tensor residual = E::reshape(x, as_tokens);
        return E::reshape(to_out[0](attended, &residual), shape);
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("group_norm", self.group_norm);
        visitor("to_q", self.to_q);
        visitor("to_k", self.to_k);
        visitor("to_v", self.to_v);
        visitor("add_k_proj", self.add_k_proj);
        visitor("add_v_proj", self.add_v_proj);
        visitor("to_out", self.to_out);
    }
};

}  // namespace dalle2
