// The kernels of int8 weights, for a processor whose products of bytes are what it has beyond another; all others are those of that.
#include <dalle2/kernels/simd/bytes.inl>
#include <dalle2/kernels/simd/gemm.inl>
#include <dalle2/kernels/simd/int8.inl>
#include <dalle2/kernels/simd/math.inl>
#include <dalle2/kernels/simd/elementwise.inl>
