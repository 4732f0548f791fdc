// The vector code, compiled once for each instruction set, behind tables of functions.
// A header cannot ask for compiler flags, so each copy stands in a region that names its own
// target; what is called in an inner loop must be written inside that region.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include <dalle2/core/bfloat16.hpp>
#include <dalle2/kernels/isa.hpp>
#include <dalle2/kernels/vector_kernels.hpp>

#if DALLE2_X86
#include <immintrin.h>
#endif

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "dalle2 counts on infinities, NaN and the order of sums: compile without -ffast-math"
#endif

namespace dalle2::kernels {

// Eight of AMX's tiles, sixteen rows of 64 bytes each, in the form that its instruction prescribes.
// (A constant, so that it is in memory: compilers do not know that the instruction reads all of
// it.)
struct TileConfig {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
alignas(64) inline constexpr TileConfig whole_tiles;

#define DALLE2_INLINE inline __attribute__((always_inline))
#define DALLE2_LAMBDA __attribute__((always_inline))
// Of templates alone: what is not worth compiling in each function that calls it.
#define DALLE2_APART __attribute__((noinline))
#if defined(__clang__)
#define DALLE2_UNROLL _Pragma("unroll")
#else
#define DALLE2_UNROLL _Pragma("GCC unroll 64")
#endif

// g++ 12 takes the undefined vectors inside its own intrinsics for a mistake of the caller.
#if !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#define DALLE2_HAVE_AMX 0
namespace portable {
#include <dalle2/kernels/simd/vector_portable.inl>

#include <dalle2/kernels/simd/all.inl>
}  // namespace portable

#if DALLE2_X86

#define DALLE2_HAVE_VNNI 0
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
namespace avx2 {
#include <dalle2/kernels/simd/vector_avx2.inl>

#include <dalle2/kernels/simd/all.inl>
}  // namespace avx2
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef DALLE2_HAVE_VNNI

// Only int8 knows the difference.
#define DALLE2_HAVE_VNNI 1
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,avxvnni"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,avxvnni")
#endif
namespace avx2_vnni {
#include <dalle2/kernels/simd/vector_avx2.inl>

#include <dalle2/kernels/simd/all_int8.inl>
}  // namespace avx2_vnni
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef DALLE2_HAVE_VNNI

#define DALLE2_HAVE_BF16 0
#define DALLE2_HAVE_VNNI 0
#if defined(__clang__)
#pragma clang attribute push(                                                   \
        __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), \
            apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif
namespace avx512 {
#include <dalle2/kernels/simd/vector_avx512.inl>

#include <dalle2/kernels/simd/all.inl>
}  // namespace avx512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef DALLE2_HAVE_VNNI

// Only int8 knows the difference.
#define DALLE2_HAVE_VNNI 1
#if defined(__clang__)
#pragma clang attribute push(                                                              \
        __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma"))), \
            apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")
#endif
namespace avx512_vnni {
#include <dalle2/kernels/simd/vector_avx512.inl>

#include <dalle2/kernels/simd/all_int8.inl>
}  // namespace avx512_vnni
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef DALLE2_HAVE_VNNI
#undef DALLE2_HAVE_BF16

// Only bfloat16 knows the difference.
#define DALLE2_HAVE_BF16 1
#define DALLE2_HAVE_VNNI 0
#if defined(__clang__)
#pragma clang attribute push(                                                              \
        __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma"))), \
            apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")
#endif
namespace avx512_bf16 {
#include <dalle2/kernels/simd/vector_avx512.inl>

#include <dalle2/kernels/simd/all.inl>
}  // namespace avx512_bf16
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef DALLE2_HAVE_VNNI
#undef DALLE2_HAVE_BF16
#undef DALLE2_HAVE_AMX

// Only products know the difference.
#define DALLE2_HAVE_AMX 1
#define DALLE2_HAVE_BF16 1
#define DALLE2_HAVE_VNNI 1
#if defined(__clang__)
#pragma clang attribute push(                                                                  \
        __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2," \
                              "fma,amx-tile,amx-bf16,amx-int8"))),                             \
            apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target( \
        "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,amx-tile,amx-bf16,amx-int8")
#endif
namespace amx {
#include <dalle2/kernels/simd/vector_avx512.inl>

#include <dalle2/kernels/simd/all_amx.inl>
}  // namespace amx
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef DALLE2_HAVE_VNNI
#undef DALLE2_HAVE_BF16

#endif  // DALLE2_X86
#undef DALLE2_HAVE_AMX

#if !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#undef DALLE2_INLINE
#undef DALLE2_LAMBDA
#undef DALLE2_APART
#undef DALLE2_UNROLL

// Programs of many files can compile the vector code once instead of in each: all define
// DALLE2_SEPARATE_KERNELS, and one of them includes separate.hpp.
#ifdef DALLE2_SEPARATE_KERNELS
extern template VectorKernels<float> portable::table<float>();
extern template VectorKernels<bfloat16> portable::table<bfloat16>();
extern template VectorKernels<std::int8_t> portable::table<std::int8_t>();
#if DALLE2_X86
extern template VectorKernels<float> avx2::table<float>();
extern template VectorKernels<bfloat16> avx2::table<bfloat16>();
extern template VectorKernels<std::int8_t> avx2::table<std::int8_t>();
extern template VectorKernels<std::int8_t> avx2_vnni::table<std::int8_t>();
extern template VectorKernels<float> avx512::table<float>();
extern template VectorKernels<bfloat16> avx512::table<bfloat16>();
extern template VectorKernels<std::int8_t> avx512::table<std::int8_t>();
extern template VectorKernels<std::int8_t> avx512_vnni::table<std::int8_t>();
extern template VectorKernels<bfloat16> avx512_bf16::table<bfloat16>();
extern template VectorKernels<bfloat16> amx::table<bfloat16>();
extern template VectorKernels<std::int8_t> amx::table<std::int8_t>();
#endif
extern template Int8WinogradTask portable::int8_winograd_task<bfloat16>();
#if DALLE2_X86
extern template Int8WinogradTask avx2::int8_winograd_task<bfloat16>();
extern template Int8WinogradTask avx512::int8_winograd_task<bfloat16>();
extern template Int8WinogradTask avx512_bf16::int8_winograd_task<bfloat16>();
extern template Int8WinogradTask amx::int8_winograd_task<bfloat16>();
#endif
extern template VectorGradients<float> portable::gradient_table<float>();
extern template VectorGradients<bfloat16> portable::gradient_table<bfloat16>();
#if DALLE2_X86
extern template VectorGradients<float> avx2::gradient_table<float>();
extern template VectorGradients<bfloat16> avx2::gradient_table<bfloat16>();
extern template VectorGradients<float> avx512::gradient_table<float>();
extern template VectorGradients<bfloat16> avx512::gradient_table<bfloat16>();
extern template VectorGradients<bfloat16> avx512_bf16::gradient_table<bfloat16>();
extern template VectorGradients<bfloat16> amx::gradient_table<bfloat16>();
#endif
#endif

// The functions of the instruction set that runs now.
template <class T>
VectorKernels<T> vector_kernels() {
#if DALLE2_X86
    switch (current_isa()) {
        case Isa::portable: return portable::table<T>();
        case Isa::avx2: return avx2::table<T>();
        case Isa::avx2_vnni:
            if constexpr (std::is_same_v<T, std::int8_t>)
                return avx2_vnni::table<T>();
            else
                return avx2::table<T>();
        case Isa::avx512: return avx512::table<T>();
        case Isa::avx512_vnni:
        case Isa::avx512_bf16:
            if constexpr (std::is_same_v<T, std::int8_t>) return avx512_vnni::table<T>();
            if constexpr (std::is_same_v<T, bfloat16>)
                if (current_isa() == Isa::avx512_bf16) return avx512_bf16::table<T>();
            if constexpr (!std::is_same_v<T, std::int8_t>) return avx512::table<T>();
        case Isa::amx:
            if constexpr (std::is_same_v<T, float>)
                return avx512::table<T>();
            else
                return amx::table<T>();
    }
#endif
    return portable::table<T>();
}
template <class T>
VectorGradients<T> vector_gradients() {
#if DALLE2_X86
    switch (current_isa()) {
        case Isa::portable: return portable::gradient_table<T>();
        case Isa::avx2:
        case Isa::avx2_vnni: return avx2::gradient_table<T>();
        case Isa::avx512:
        case Isa::avx512_vnni: return avx512::gradient_table<T>();
        case Isa::avx512_bf16:
            if constexpr (std::is_same_v<T, float>)
                return avx512::gradient_table<T>();
            else
                return avx512_bf16::gradient_table<T>();
        case Isa::amx:
            if constexpr (std::is_same_v<T, float>)
                return avx512::gradient_table<T>();
            else
                return amx::gradient_table<T>();
    }
#endif
    return portable::gradient_table<T>();
}
template <std::same_as<bfloat16> T>
Int8WinogradTask int8_winograd_task() {
#if DALLE2_X86
    switch (current_isa()) {
        case Isa::portable: return portable::int8_winograd_task<T>();
        case Isa::avx2:
        case Isa::avx2_vnni: return avx2::int8_winograd_task<T>();
        case Isa::avx512:
        case Isa::avx512_vnni: return avx512::int8_winograd_task<T>();
        case Isa::avx512_bf16: return avx512_bf16::int8_winograd_task<T>();
        case Isa::amx: return amx::int8_winograd_task<T>();
    }
#endif
    return portable::int8_winograd_task<T>();
}

}  // namespace dalle2::kernels
