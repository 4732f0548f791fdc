// The kernels that multiply, for a processor with AMX; all others are those of AVX-512.
#include <dalle2/kernels/simd/bytes.inl>
#include <dalle2/kernels/simd/gemm.inl>
#include <dalle2/kernels/simd/int8.inl>
#include <dalle2/kernels/simd/winograd.inl>
#include <dalle2/kernels/simd/weight_gradient.inl>
#include <dalle2/kernels/simd/math.inl>
#include <dalle2/kernels/simd/elementwise.inl>
#include <dalle2/kernels/simd/attention.inl>
#include <dalle2/kernels/simd/attention_amx.inl>

template <std::same_as<bfloat16> T>
VectorKernels<T> table() {
    VectorKernels<T> kernels = avx512_bf16::table<T>();
    kernels.whole_rows = whole_rows;
    kernels.chunk = chunk_bytes / sizeof(T);
    kernels.has_tiles = true;
    kernels.conv_task = conv_task<T>;
    kernels.winograd_task = winograd_task<T, T>;
    kernels.attention_task = attention_any_task<T>;
    return kernels;
}
template <std::same_as<bfloat16> T>
VectorGradients<T> gradient_table() {
    VectorGradients<T> kernels = avx512_bf16::gradient_table<T>();
    kernels.columns_at_once = columns_at_once;
    kernels.weight_pack_task = weight_pack_task<T>;
    kernels.weight_multiply_task = weight_multiply_task<T>;
    return kernels;
}
