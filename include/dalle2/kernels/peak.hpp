// The most that this machine's cores can multiply: loops that touch nothing but registers. The
// speed of everything else is told as a share of it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include <dalle2/kernels/isa.hpp>
#include <dalle2/kernels/parallel.hpp>
#include <dalle2/kernels/simd.hpp>

namespace dalle2::kernels {

namespace detail {

// Independent sums: more than the latency of a multiplication times how many start in each cycle.
inline constexpr int peak_sums = 12;

#if DALLE2_X86

__attribute__((target("avx512f,avx512bf16"))) inline void multiply_bf16(std::int64_t rounds) {
    __m512 a[peak_sums];
    for (__m512& sum : a) sum = _mm512_setzero_ps();
    __m512i x = _mm512_set1_epi32(0x3f803f80);
    for (std::int64_t i = 0; i < rounds; ++i) {
        asm volatile("" : "+v"(x));
        const __m512bh pairs = reinterpret_cast<__m512bh>(x);
#pragma GCC unroll 12
        for (__m512& sum : a) sum = _mm512_dpbf16_ps(sum, pairs, pairs);
    }
    for (__m512& sum : a) asm volatile("" ::"v"(sum));
}

// Of whole numbers the instruction itself is written: g++ 12 surrounds its intrinsic with copies.
__attribute__((target("avx512f,avx512vnni"))) inline void multiply_bytes_avx512(
    std::int64_t rounds) {
    __m512i a[peak_sums];
    for (__m512i& sum : a) sum = _mm512_setzero_si512();
    const __m512i x = _mm512_set1_epi8(1);
    for (std::int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
        for (__m512i& sum : a) asm volatile("vpdpbusd %1, %1, %0" : "+v"(sum) : "v"(x));
    }
}

// Each instruction multiplies two tiles of 1024 bytes.
inline constexpr int peak_tile_sums = 4;
template <bool bytes>
__attribute__((target("avx512f,amx-tile,amx-bf16,amx-int8"))) void multiply_tiles(
    std::int64_t rounds) {
    _tile_loadconfig(&whole_tiles);
    for (std::int64_t i = 0; i < rounds; ++i) {
        if constexpr (bytes) {
            _tile_dpbusd(0, 4, 6);
            _tile_dpbusd(1, 4, 7);
            _tile_dpbusd(2, 5, 6);
            _tile_dpbusd(3, 5, 7);
        } else {
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_release();
}

__attribute__((target("avx2,avxvnni"))) inline void multiply_bytes_avx2(std::int64_t rounds) {
    __m256i a[peak_sums];
    for (__m256i& sum : a) sum = _mm256_setzero_si256();
    const __m256i x = _mm256_set1_epi8(1);
    for (std::int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
        for (__m256i& sum : a) asm volatile("%{vex%} vpdpbusd %1, %1, %0" : "+x"(sum) : "x"(x));
    }
}

// Where nothing multiplies bytes, 16-bit numbers do. (Loops that are not unrolled would keep the
// sums in memory.)
__attribute__((target("avx512f,avx512bw"))) inline void multiply_words_avx512(std::int64_t rounds) {
    __m512i a[peak_sums], product;
#pragma GCC unroll 12
    for (__m512i& sum : a) sum = _mm512_setzero_si512();
    const __m512i x = _mm512_set1_epi16(1);
    for (std::int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
        for (__m512i& sum : a)
            asm volatile("vpmaddwd %2, %2, %1\n\tvpaddd %1, %0, %0"
                         : "+v"(sum), "=&v"(product)
                         : "v"(x));
    }
#pragma GCC unroll 12
    for (__m512i& sum : a) asm volatile("" ::"v"(sum));
}
__attribute__((target("avx2"))) inline void multiply_words_avx2(std::int64_t rounds) {
    __m256i a[peak_sums], product;
#pragma GCC unroll 12
    for (__m256i& sum : a) sum = _mm256_setzero_si256();
    const __m256i x = _mm256_set1_epi16(1);
    for (std::int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
        for (__m256i& sum : a)
            asm volatile("vpmaddwd %2, %2, %1\n\tvpaddd %1, %0, %0"
                         : "+x"(sum), "=&x"(product)
                         : "x"(x));
    }
#pragma GCC unroll 12
    for (__m256i& sum : a) asm volatile("" ::"x"(sum));
}

__attribute__((target("avx512f"))) inline void multiply_avx512(std::int64_t rounds) {
    __m512 a[peak_sums];
    for (__m512& sum : a) sum = _mm512_setzero_ps();
    __m512 x = _mm512_set1_ps(1.0f);
    for (std::int64_t i = 0; i < rounds; ++i) {
        asm volatile("" : "+v"(x));
#pragma GCC unroll 12
        for (__m512& sum : a) sum = _mm512_fmadd_ps(x, x, sum);
    }
    for (__m512& sum : a) asm volatile("" ::"v"(sum));
}

__attribute__((target("avx2,fma"))) inline void multiply_avx2(std::int64_t rounds) {
    __m256 a[peak_sums];
    for (__m256& sum : a) sum = _mm256_setzero_ps();
    __m256 x = _mm256_set1_ps(1.0f);
    for (std::int64_t i = 0; i < rounds; ++i) {
        asm volatile("" : "+x"(x));
#pragma GCC unroll 12
        for (__m256& sum : a) sum = _mm256_fmadd_ps(x, x, sum);
    }
    for (__m256& sum : a) asm volatile("" ::"x"(sum));
}

#endif

// As the portable kernels multiply: in vectors of four, a multiplication and an addition each.
inline void multiply_portable(std::int64_t rounds) {
    using Vector = portable::vf;
    Vector a[peak_sums];
#pragma GCC unroll 12
    for (Vector& sum : a) sum = Vector{};
    Vector x = Vector{} + 1.0f;
    for (std::int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
        for (Vector& sum : a) {
#if DALLE2_X86
            asm volatile("" : "+x"(x));
#else
            asm volatile("" : "+m"(x));
#endif
            sum += x * x;
        }
    }
#pragma GCC unroll 12
    for (Vector& sum : a) asm volatile("" ::"m"(sum));
}

struct PeakLoop {
    void (*run)(std::int64_t rounds);
    double operations;  // of one round: a multiplication and an addition count two
};

// The fastest loop of `isa`, for products of bfloat16 or of float.
inline PeakLoop peak_loop([[maybe_unused]] Isa isa, [[maybe_unused]] bool bf16) {
#if DALLE2_X86
    if (isa == Isa::amx && bf16)
        return {multiply_tiles<false>, peak_tile_sums * 2.0 * 16 * 16 * 32};
    if (isa == Isa::avx512_bf16 && bf16) return {multiply_bf16, peak_sums * 64.0};
    if (isa >= Isa::avx512) return {multiply_avx512, peak_sums * 32.0};
    if (isa >= Isa::avx2) return {multiply_avx2, peak_sums * 16.0};
#endif
    return {multiply_portable, peak_sums * 8.0};
}

// The same for products of bytes.
inline PeakLoop peak_loop_of_bytes(Isa isa) {
#if DALLE2_X86
    if (isa == Isa::amx) return {multiply_tiles<true>, peak_tile_sums * 2.0 * 16 * 16 * 64};
    if (isa >= Isa::avx512_vnni) return {multiply_bytes_avx512, peak_sums * 128.0};
    if (isa == Isa::avx512) return {multiply_words_avx512, peak_sums * 64.0};
    if (isa == Isa::avx2_vnni) return {multiply_bytes_avx2, peak_sums * 64.0};
    if (isa == Isa::avx2) return {multiply_words_avx2, peak_sums * 32.0};
#endif
    return peak_loop(isa, false);
}

// What all threads together do in `loop`, in GFLOP/s.
inline double measured_peak(const PeakLoop& loop, double seconds) {
    using Clock = std::chrono::steady_clock;
    constexpr std::int64_t rounds = 1'000'000;
    const std::int64_t threads = thread_count();
    double best = 1e30, total = 0;
    for (int i = 0; i < 3 || total < seconds; ++i) {
        const auto begin = Clock::now();
        parallel_for(threads, [&](std::int64_t, int) { loop.run(rounds); });
        const double taken = std::chrono::duration<double>(Clock::now() - begin).count();
        best = std::min(best, taken);
        total += taken;
    }
    return static_cast<double>(threads * rounds) * loop.operations / best * 1e-9;
}

}  // namespace detail

// What all threads together multiply and add in registers alone, in GFLOP/s: the best of several
// runs that take so many seconds together.
inline double measured_peak(bool bf16, double seconds = 0.1) {
    return detail::measured_peak(detail::peak_loop(current_isa(), bf16), seconds);
}
// The same for products of bytes, summed as 32-bit whole numbers.
inline double measured_int8_peak(double seconds = 0.1) {
    return detail::measured_peak(detail::peak_loop_of_bytes(current_isa()), seconds);
}

}  // namespace dalle2::kernels
