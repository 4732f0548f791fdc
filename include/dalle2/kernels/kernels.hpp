// The arithmetic that the fast engines are made of: pointers and sizes, no tensor and no model.
// Activations are channels-last and dense, of type T (float, bfloat16 or double); weights come
// row-major [out, in, kernel_height, kernel_width] and parameters and their gradients are of type
// Accumulator<T>. Unless stated otherwise outputs are overwritten and must not overlap inputs. Sums
// run in an order that depends on the sizes alone, so results are the same bits for any number of
// threads. Nothing here throws but std::bad_alloc; sizes are the caller's to check.
#pragma once

#include <dalle2/kernels/attention.hpp>
#include <dalle2/kernels/elementwise.hpp>
#include <dalle2/kernels/gemm.hpp>
#include <dalle2/kernels/int8.hpp>
#include <dalle2/kernels/norm.hpp>
#include <dalle2/kernels/pack.hpp>
#include <dalle2/kernels/packed_weights.hpp>
#include <dalle2/kernels/plain_attention.hpp>
#include <dalle2/kernels/plain_elementwise.hpp>
#include <dalle2/kernels/plain_gemm.hpp>
#include <dalle2/kernels/plain_norm.hpp>
#include <dalle2/kernels/shapes.hpp>

namespace dalle2::kernels {

namespace detail {

template <class T>
PackedWeights<T> pack(const PackSource<T>& source) {
    AlignedBuffer<T> buffer(source.layout.size());
    if constexpr (std::is_same_v<T, double>)
        plain::pack(source, buffer.get());
    else
        fast::pack(source, buffer.get());
    return {source.layout, std::move(buffer)};
}

}  // namespace detail

// Packs w [out, in, kernel_height, kernel_width].
template <class T>
PackedWeights<T> pack_weights(const Accumulator<T>* w, int64 out, int64 in, int64 kernel_height,
                              int64 kernel_width) {
    return detail::pack<T>({w, {out, in, kernel_height, kernel_width}, false});
}

// Packs the same w for the input gradient: inputs and outputs exchanged, the kernel mirrored.
template <class T>
PackedWeights<T> pack_weights_transposed(const Accumulator<T>* w, int64 out, int64 in,
                                         int64 kernel_height, int64 kernel_width) {
    return detail::pack<T>({w, {in, out, kernel_height, kernel_width}, true});
}

// The inverse of pack_weights.
template <class T>
void unpack_weights(const PackedWeights<T>& packed, Accumulator<T>* w) {
    plain::unpack(packed, w);
}

// y = x ∗ w + bias + added; the bias [out] may be null, and so may `found`, which becomes the
// moments of y where they cost little.
template <class T>
void conv2d(const Conv2dShape& shape, const T* x, const PackedWeights<T>& w,
            const Accumulator<T>* bias, T* y, const Added<T>& added = {},
            [[maybe_unused]] ChannelMoments* found = nullptr) {
    if constexpr (std::is_same_v<T, double>)
        plain::conv2d(shape, x, w, bias, y, added);
    else
        fast::conv2d(shape, x, w, bias, y, added, found);
}

// dx from dy, with the weights of pack_weights_transposed.
template <class T>
void conv2d_input_gradient(const Conv2dShape& shape, const T* dy,
                           const PackedWeights<T>& transposed, T* dx) {
    if constexpr (std::is_same_v<T, double>)
        plain::conv2d_input_gradient(shape, dy, transposed, dx);
    else
        fast::conv2d_input_gradient(shape, dy, transposed, dx);
}

// Adds to dw [out, in, kernel_height, kernel_width], or, where `add` is false, replaces what is
// there, which then is not read. Always adds to dbias [out], which may be null.
template <class T>
void conv2d_weight_gradient(const Conv2dShape& shape, const T* x, const T* dy, Accumulator<T>* dw,
                            Accumulator<T>* dbias, bool add = true) {
    if constexpr (std::is_same_v<T, double>)
        plain::conv2d_weight_gradient(shape, x, dy, dw, dbias, add);
    else
        fast::conv2d_weight_gradient(shape, x, dy, dw, dbias, add);
}

// y [rows, out] = activation(x [rows, in] · wᵀ + bias + added). With transposed weights: the input
// gradient.
template <class T>
void linear(int64 rows, const T* x, const PackedWeights<T>& w, const Accumulator<T>* bias, T* y,
            const Added<T>& added = {}, Activation activation = Activation::none) {
    if constexpr (std::is_same_v<T, double>) {
        plain::conv2d(linear_shape(rows, w.layout()), x, w, bias, y, added);
        plain::activate_all(activation, rows * w.out_channels(), y, y);
    } else {
        fast::linear(rows, x, w, bias, y, added, activation);
    }
}

// Adds dyᵀ·x to dw [out, in], or makes dw that, and adds the sum of dy to dbias [out], which may be
// null.
template <class T>
void linear_weight_gradient(int64 rows, int64 in, int64 out, const T* x, const T* dy,
                            Accumulator<T>* dw, Accumulator<T>* dbias, bool add = true) {
    conv2d_weight_gradient({.batch = rows, .in_channels = in, .out_channels = out}, x, dy, dw,
                           dbias, add);
}

// y = softmax(q·kᵀ/√head_width + mask)·v for each head. log_sum_exp [batch, heads, queries] may be
// null.
template <class T>
void attention(const AttentionShape& shape, const T* q, const T* k, const T* v, AttentionMask mask,
               T* y, Accumulator<T>* log_sum_exp) {
    if constexpr (std::is_same_v<T, double>)
        plain::attention(shape, q, k, v, mask, y, log_sum_exp);
    else
        fast::attention(shape, q, k, v, mask, y, log_sum_exp);
}

// The gradients of q, k and v, from y and log_sum_exp as attention gave them.
template <class T>
void attention_backward(const AttentionShape& shape, const T* q, const T* k, const T* v,
                        AttentionMask mask, const T* y, const Accumulator<T>* log_sum_exp,
                        const T* dy, T* dq, T* dk, T* dv) {
    if constexpr (std::is_same_v<T, double>)
        plain::attention_backward(shape, q, k, v, mask, y, log_sum_exp, dy, dq, dk, dv);
    else
        fast::attention_backward(shape, q, k, v, mask, y, log_sum_exp, dy, dq, dk, dv);
}

// y = activation(norm(x)·scale + shift); with modulation [batch, 2·channels], the norm's result is
// first multiplied by 1 + its first half and its second half added. mean, inverse_deviation [batch,
// groups] and modulation may be null. What is known of x need not be found again; the extremes of
// each picture of y, for int8, are of bfloat16 alone and may be null.
template <class T>
void group_norm(const GroupNormShape& shape, const T* x, const Accumulator<T>* scale,
                const Accumulator<T>* shift, const T* modulation, T* y, Accumulator<T>* mean,
                Accumulator<T>* inverse_deviation,
                [[maybe_unused]] const ChannelMoments& known = {},
                [[maybe_unused]] Extremes* extremes = nullptr) {
    if constexpr (std::is_same_v<T, double>)
        plain::group_norm(shape, x, scale, shift, modulation, y, mean, inverse_deviation);
    else
        fast::group_norm(shape, x, scale, shift, modulation, y, mean, inverse_deviation, known,
                         extremes);
}

// Adds to dscale and dshift [channels]; dmodulation is null when modulation is.
template <class T>
void group_norm_backward(const GroupNormShape& shape, const T* x, const Accumulator<T>* scale,
                         const Accumulator<T>* shift, const T* modulation,
                         const Accumulator<T>* mean, const Accumulator<T>* inverse_deviation,
                         const T* dy, T* dx, Accumulator<T>* dscale, Accumulator<T>* dshift,
                         T* dmodulation) {
    if constexpr (std::is_same_v<T, double>)
        plain::group_norm_backward(shape, x, scale, shift, modulation, mean, inverse_deviation, dy,
                                   dx, dscale, dshift, dmodulation);
    else
        fast::group_norm_backward(shape, x, scale, shift, modulation, mean, inverse_deviation, dy,
                                  dx, dscale, dshift, dmodulation);
}

// Over each row of x [rows, width]; mean and inverse_deviation [rows] may be null.
template <class T>
void layer_norm(int64 rows, int64 width, double epsilon, const T* x, const Accumulator<T>* scale,
                const Accumulator<T>* shift, T* y, Accumulator<T>* mean,
                Accumulator<T>* inverse_deviation) {
    if constexpr (std::is_same_v<T, double>)
        plain::layer_norm(rows, width, epsilon, x, scale, shift, y, mean, inverse_deviation);
    else
        fast::layer_norm(rows, width, epsilon, x, scale, shift, y, mean, inverse_deviation);
}

// Adds to dscale and dshift [width].
template <class T>
void layer_norm_backward(int64 rows, int64 width, const T* x, const Accumulator<T>* scale,
                         const Accumulator<T>* mean, const Accumulator<T>* inverse_deviation,
                         const T* dy, T* dx, Accumulator<T>* dscale, Accumulator<T>* dshift) {
    if constexpr (std::is_same_v<T, double>)
        plain::layer_norm_backward(rows, width, x, scale, mean, inverse_deviation, dy, dx, dscale,
                                   dshift);
    else
        fast::layer_norm_backward(rows, width, x, scale, mean, inverse_deviation, dy, dx, dscale,
                                  dshift);
}

// y may be x.
template <class T>
void activate(Activation kind, int64 n, const T* x, T* y) {
    if constexpr (std::is_same_v<T, double>)
        plain::activate_all(kind, n, x, y);
    else
        fast::activate(kind, n, x, y);
}

// dx may be dy.
template <class T>
void activate_backward(Activation kind, int64 n, const T* x, const T* dy, T* dx) {
    if constexpr (std::is_same_v<T, double>)
        plain::activate_backward(kind, n, x, dy, dx);
    else
        fast::activate_backward(kind, n, x, dy, dx);
}

// y may be a or b.
template <class T>
void add(int64 n, const T* a, const T* b, T* y) {
    if constexpr (std::is_same_v<T, double>)
        plain::add(n, a, b, y);
    else
        fast::add(n, a, b, y);
}

// Adds b [inner] to each of the `outer` rows of a [outer, inner]; y may be a.
template <class T>
void add_repeated(int64 outer, int64 inner, const T* a, const T* b, T* y) {
    if constexpr (std::is_same_v<T, double>)
        plain::add_repeated(outer, inner, a, b, y);
    else
        fast::add_repeated(outer, inner, a, b, y);
}

// db [inner] = the sum of the `outer` rows of dy [outer, inner].
template <class T>
void sum_repeated(int64 outer, int64 inner, const T* dy, T* db) {
    if constexpr (std::is_same_v<T, double>)
        plain::sum_repeated(outer, inner, dy, db);
    else
        fast::sum_repeated(outer, inner, dy, db);
}

// y = x [batch, pixels, channels] + v [batch, channels]; y may be x.
template <class T>
void add_per_channel(int64 batch, int64 pixels, int64 channels, const T* x, const T* v, T* y) {
    if constexpr (std::is_same_v<T, double>)
        plain::add_per_channel(batch, pixels, channels, x, v, y);
    else
        fast::add_per_channel(batch, pixels, channels, x, v, y);
}

// dv [batch, channels] = the sum of dy [batch, pixels, channels] over pixels.
template <class T>
void sum_per_channel(int64 batch, int64 pixels, int64 channels, const T* dy, T* dv) {
    if constexpr (std::is_same_v<T, double>)
        plain::sum_per_channel(batch, pixels, channels, dy, dv);
    else
        fast::sum_per_channel(batch, pixels, channels, dy, dv);
}

// y = factor · x; y may be x.
template <class T>
void scale(int64 n, double factor, const T* x, T* y) {
    if constexpr (std::is_same_v<T, double>)
        plain::scale(n, factor, x, y);
    else
        fast::scale(n, factor, x, y);
}

// Means of 2×2 pixels of x [batch, height, width, channels]; the last row or column of an odd size
// is dropped.
template <class T>
void average_pool2(int64 batch, int64 height, int64 width, int64 channels, const T* x, T* y) {
    if constexpr (std::is_same_v<T, double>)
        plain::average_pool2(batch, height, width, channels, x, y);
    else
        fast::average_pool2(batch, height, width, channels, x, y);
}

// dx [batch, height, width, channels]; a dropped edge gets zero.
template <class T>
void average_pool2_backward(int64 batch, int64 height, int64 width, int64 channels, const T* dy,
                            T* dx) {
    if constexpr (std::is_same_v<T, double>)
        plain::average_pool2_backward(batch, height, width, channels, dy, dx);
    else
        fast::average_pool2_backward(batch, height, width, channels, dy, dx);
}

// Each pixel of x [batch, height, width, channels] becomes 2×2 pixels of y.
template <class T>
void upsample_nearest2(int64 batch, int64 height, int64 width, int64 channels, const T* x, T* y) {
    plain::upsample_nearest2(batch, height, width, channels, x, y);
}

// dx [batch, height, width, channels] = sums of 2×2 pixels of dy.
template <class T>
void upsample_nearest2_backward(int64 batch, int64 height, int64 width, int64 channels, const T* dy,
                                T* dx) {
    if constexpr (std::is_same_v<T, double>)
        plain::upsample_nearest2_backward(batch, height, width, channels, dy, dx);
    else
        fast::upsample_nearest2_backward(batch, height, width, channels, dy, dx);
}

template <class T>
void convert_from_float(int64 n, const float* x, T* y) {
    if constexpr (std::is_same_v<T, double>)
        plain::convert(n, x, y);
    else
        fast::convert_from_float(n, x, y);
}

template <class T>
void convert_to_float(int64 n, const T* x, float* y) {
    if constexpr (std::is_same_v<T, double>)
        plain::convert(n, x, y);
    else
        fast::convert_to_float(n, x, y);
}

}  // namespace dalle2::kernels
