// Every kernel family, written once over the vectors of the namespace that includes it.
#include <dalle2/kernels/simd/bytes.inl>
#include <dalle2/kernels/simd/gemm.inl>
#include <dalle2/kernels/simd/int8.inl>
#include <dalle2/kernels/simd/winograd.inl>
#include <dalle2/kernels/simd/weight_gradient.inl>
#include <dalle2/kernels/simd/math.inl>
#include <dalle2/kernels/simd/elementwise.inl>
#include <dalle2/kernels/simd/adamw.inl>
#include <dalle2/kernels/simd/norm.inl>
#include <dalle2/kernels/simd/attention.inl>
#include <dalle2/kernels/simd/pack.inl>

template <class T>
VectorKernels<T> table() {
    return {.factor_size = sizeof(Factor<T>),
            .whole_rows = whole_rows,
            .chunk = chunk_bytes / sizeof(T),
            .has_tiles = DALLE2_HAVE_AMX,
            .block_bytes = block_bytes,
            .winograd_bytes = winograd_bytes,
            .winograd_tiles = winograd_tiles,
            .conv_task = conv_task<T>,
            .winograd_task = winograd_task<T, T>,
            .activate = activate<T>,
            .add = add<T>,
            .add_rows = add_rows<T>,
            .scale = scale<T>,
            .sum_quads = sum_quads<T>,
            .from_float = from_float<T>,
            .to_float = to_float<T>,
            .channel_sums = channel_sums<T>,
            .channel_squares = channel_squares<T>,
            .affine = affine<T>,
            .layer_norm = layer_norm<T>,
            .attention_task = attention_task<T>,
            .pack_task = pack_task<T>};
}

template <class T>
VectorGradients<T> gradient_table() {
    return {.columns_at_once = columns_at_once,
            .channels_together = channels_together,
            .least_panels_together = least_panels_together,
            .activate_backward = activate_backward<T>,
            .sum_rows = sum_rows<T>,
            .spread_pairs = spread_pairs<T>,
            .affine_backward = affine_backward<T>,
            .norm_input_gradient = norm_input_gradient<T>,
            .layer_norm_backward = layer_norm_backward<T>,
            .attention_backward_task = attention_backward_task<T>,
            .weight_pack_task = weight_pack_task<T>,
            .weight_multiply_task = weight_multiply_task<T>,
            .sum_of_squares = sum_of_squares<float>,
            .adamw = adamw<float>};
}
