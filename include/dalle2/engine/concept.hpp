// What an engine is. Every model here is written once, over an engine E that says what a tensor
// is and what each operation below does. Shapes are logical: whatever the engine's own layout,
// pictures are [batch, height, width, channels] and texts [batch, tokens, width].
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <vector>

#include <dalle2/core/activation.hpp>
#include <dalle2/core/array.hpp>

namespace dalle2 {

// How a parameter is used, which decides how an engine stores it.
enum class ParameterKind {
    vector,       // biases, scales of norms: [n]
    matrix,       // weights of a linear layer: [out, in]
    convolution,  // weights of a convolution: [out, in, height, width]
    table,        // rows that are looked up: [rows, width]
    tensor,       // anything used as a tensor of its own, such as a learned query
};

struct Conv2dOptions {
    std::int64_t stride = 1;
    std::int64_t padding = 0;
};

struct GroupNormOptions {
    std::int64_t groups = 32;
    double epsilon = 1e-5;
    Activation activation = Activation::none;  // applied last
};

struct AttentionOptions {
    std::int64_t heads = 1;
    // Added to the scores before the softmax: [batch or 1, queries or 1, keys]; null means none.
    const Array* mask = nullptr;
};

// T may be a tensor of engine E; P a parameter. Operations are static: an engine has no state.
template <class E>
concept Engine =
    requires(const typename E::Tensor x, const std::vector<typename E::Tensor> list,
             const typename E::Parameter p, typename E::Parameter& writable, const Array array,
             const Shape shape, std::int64_t n, std::span<const std::int32_t> ids) {
        // In and out.
        { E::from_array(array) } -> std::same_as<typename E::Tensor>;
        { E::to_array(x) } -> std::same_as<Array>;
        { E::shape(x) } -> std::convertible_to<Shape>;

        // Parameters are made empty (shape and kind), then loaded once.
        { typename E::Parameter(shape, ParameterKind::matrix) };
        { p.shape() } -> std::convertible_to<Shape>;
        { p.kind() } -> std::same_as<ParameterKind>;
        { E::load(writable, array) };
        { E::store(p) } -> std::same_as<Array>;
        // The parameter as a tensor: of kind `tensor` or `vector`.
        { E::value(p) } -> std::same_as<typename E::Tensor>;

        // activation(x [..., in] · weightᵀ + bias + added) → [..., out]. The bias may be null, and
        // so may what is added, which has the shape of the result: a residual costs less there than
        // in a pass of its own, as does an activation.
        { E::linear(x, p, &p, &x, Activation::none) } -> std::same_as<typename E::Tensor>;
        // x [batch, height, width, in] → [batch, height', width', out]. What is added (or null) has
        // that shape, or is a vector for each picture: [batch, out].
        { E::conv2d(x, p, &p, Conv2dOptions{}, &x) } -> std::same_as<typename E::Tensor>;
        // Over each group of channels of each picture; scale and shift per channel. With
        // `modulation` [batch, 2·channels] the result is norm(x)·(1 + first half) + second half
        // (may be null).
        { E::group_norm(x, p, p, &x, GroupNormOptions{}) } -> std::same_as<typename E::Tensor>;
        // Over the last axis.
        { E::layer_norm(x, p, p, 1e-5) } -> std::same_as<typename E::Tensor>;
        // softmax(q·kᵀ/√d + mask)·v for each head; q [batch, queries, heads·d], k and v [batch,
        // keys, heads·d].
        { E::attention(x, x, x, AttentionOptions{}) } -> std::same_as<typename E::Tensor>;
        { E::activate(x, Activation::silu) } -> std::same_as<typename E::Tensor>;

        // The second operand has the shape of the first, or of its last axes: then it is repeated.
        { E::add(x, x) } -> std::same_as<typename E::Tensor>;
        // x [batch, ..., channels] + y [batch, channels].
        { E::add_per_channel(x, x) } -> std::same_as<typename E::Tensor>;
        { E::scale(x, 1.0) } -> std::same_as<typename E::Tensor>;

        {
            E::concatenate(list, n)
        } -> std::same_as<typename E::Tensor>;  // along axis n (negative: from the last)
        { E::slice(x, n, n, n) } -> std::same_as<typename E::Tensor>;  // x, axis, begin, end
        { E::reshape(x, shape) } -> std::same_as<typename E::Tensor>;
        { E::transpose(x) } -> std::same_as<typename E::Tensor>;  // swaps the last two axes
        { E::repeat(x, n) } -> std::same_as<typename E::Tensor>;  // [1, ...] → [n, ...]

        {
            E::average_pool2(x)
        } -> std::same_as<typename E::Tensor>;  // means of 2×2 pixels; odd edges are dropped
        { E::upsample_nearest2(x) } -> std::same_as<typename E::Tensor>;  // each pixel becomes 2×2

        {
            E::embedding(p, ids)
        } -> std::same_as<typename E::Tensor>;  // rows of the table: [ids, width]
        {
            E::select_tokens(x, ids)
        } -> std::same_as<typename E::Tensor>;  // [batch, tokens, width] → [batch, width]
    };

}  // namespace dalle2
