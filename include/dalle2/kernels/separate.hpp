// The vector code itself, for the one file of a program that compiles it where the others define
// DALLE2_SEPARATE_KERNELS (see simd.hpp).
#pragma once

#include <dalle2/kernels/simd.hpp>

namespace dalle2::kernels {

template VectorKernels<float> portable::table<float>();
template VectorKernels<bfloat16> portable::table<bfloat16>();
template VectorKernels<std::int8_t> portable::table<std::int8_t>();
#if DALLE2_X86
template VectorKernels<float> avx2::table<float>();
template VectorKernels<bfloat16> avx2::table<bfloat16>();
template VectorKernels<std::int8_t> avx2::table<std::int8_t>();
template VectorKernels<std::int8_t> avx2_vnni::table<std::int8_t>();
template VectorKernels<float> avx512::table<float>();
template VectorKernels<bfloat16> avx512::table<bfloat16>();
template VectorKernels<std::int8_t> avx512::table<std::int8_t>();
template VectorKernels<std::int8_t> avx512_vnni::table<std::int8_t>();
template VectorKernels<bfloat16> avx512_bf16::table<bfloat16>();
template VectorKernels<bfloat16> amx::table<bfloat16>();
template VectorKernels<std::int8_t> amx::table<std::int8_t>();
#endif

template Int8WinogradTask portable::int8_winograd_task<bfloat16>();
#if DALLE2_X86
template Int8WinogradTask avx2::int8_winograd_task<bfloat16>();
template Int8WinogradTask avx512::int8_winograd_task<bfloat16>();
template Int8WinogradTask avx512_bf16::int8_winograd_task<bfloat16>();
template Int8WinogradTask amx::int8_winograd_task<bfloat16>();
#endif

template VectorGradients<float> portable::gradient_table<float>();
template VectorGradients<bfloat16> portable::gradient_table<bfloat16>();
#if DALLE2_X86
template VectorGradients<float> avx2::gradient_table<float>();
template VectorGradients<bfloat16> avx2::gradient_table<bfloat16>();
template VectorGradients<float> avx512::gradient_table<float>();
template VectorGradients<bfloat16> avx512::gradient_table<bfloat16>();
template VectorGradients<bfloat16> avx512_bf16::gradient_table<bfloat16>();
template VectorGradients<bfloat16> amx::gradient_table<bfloat16>();
#endif

}  // namespace dalle2::kernels
