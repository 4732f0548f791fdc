// The AVX-512, VNNI, bfloat16 and AMX instructions that the kernels use, in plain C++, for
// processors without them. SIMDe has most; what its Debian package lacks, or gets wrong, is below.
// In the place of <immintrin.h>: see run.sh.
#pragma once

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/svml.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace emulated {

// A vector as its elements, and back.
template <class E, class V>
std::array<E, sizeof(V) / sizeof(E)> elements(V v) {
    return std::bit_cast<std::array<E, sizeof(V) / sizeof(E)>>(v);
}
template <class V, class E, std::size_t n>
V vector_of(const std::array<E, n>& from) {
    return std::bit_cast<V>(from);
}

// to[i] = f(from[i])
template <class V, class To, class From, class Vector, class Function>
V map(Vector from, Function f) {
    std::array<To, sizeof(Vector) / sizeof(From)> to{};
    const auto values = elements<From>(from);
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = f(values[i]);
    return vector_of<V>(to);
}

inline float widened(std::uint16_t half) { return std::bit_cast<float>(std::uint32_t{half} << 16); }
// To nearest, ties to even; NaN stays NaN.
inline std::uint16_t narrowed(float a) {
    const auto bits = std::bit_cast<std::uint32_t>(a);
    return static_cast<std::uint16_t>(
        (std::isnan(a) ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// VDPBF16PS: the second of a pair is added first.
inline simde__m512 dpbf16(simde__m512 sums, simde__m512i a, simde__m512i b) {
    auto s = elements<float>(sums);
    const auto x = elements<std::uint16_t>(a), y = elements<std::uint16_t>(b);
    for (std::size_t i = 0; i < s.size(); ++i)
        for (std::size_t member : {2 * i + 1, 2 * i})
            s[i] = s[i] + widened(x[member]) * widened(y[member]);
    return vector_of<simde__m512>(s);
}
inline __m256i cvtneps_pbh(simde__m512 a) {
    return map<__m256i, std::uint16_t, float>(a, narrowed);
}

// The second in the lower half.
inline simde__m512i cvtne2ps_pbh(simde__m512 a, simde__m512 b) {
    const auto high = elements<float>(a), low = elements<float>(b);
    std::array<std::uint16_t, 32> to{};
    for (std::size_t i = 0; i < 16; ++i) {
        to[i] = narrowed(low[i]);
        to[16 + i] = narrowed(high[i]);
    }
    return vector_of<simde__m512i>(to);
}
inline simde__m512i permutexvar_epi16(simde__m512i places, simde__m512i a) {
    const auto from = elements<std::uint16_t>(a), place = elements<std::uint16_t>(places);
    std::array<std::uint16_t, 32> to{};
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = from[place[i] % 32];
    return vector_of<simde__m512i>(to);
}

inline __m256i cvtepi32_epi16(simde__m512i a) {
    return map<__m256i, std::int16_t, std::int32_t>(
        a, [](std::int32_t v) { return static_cast<std::int16_t>(v); });
}
inline __m128i cvtepi32_epi8(simde__m512i a) {
    return map<__m128i, std::int8_t, std::int32_t>(
        a, [](std::int32_t v) { return static_cast<std::int8_t>(v); });
}
inline simde__m512 cvtepi32_ps(simde__m512i a) {
    return map<simde__m512, float, std::int32_t>(
        a, [](std::int32_t v) { return static_cast<float>(v); });
}
inline simde__m512i cvttps_epi32(simde__m512 a) {
    return map<simde__m512i, std::int32_t, float>(
        a, [](float v) { return static_cast<std::int32_t>(v); });
}
inline simde__m512i cvtepu16_epi32(__m256i a) {
    return map<simde__m512i, std::int32_t, std::uint16_t>(
        a, [](std::uint16_t v) { return std::int32_t{v}; });
}
inline simde__m512 round_to_integer(simde__m512 a) {
    return map<simde__m512, float, float>(a, [](float v) { return std::nearbyint(v); });
}
inline simde__m512 scalef(simde__m512 a, simde__m512 powers) {
    auto values = elements<float>(a);
    const auto n = elements<float>(powers);
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] =
            std::isnan(n[i]) ? n[i]
            : n[i] < -1000.0f
                ? 0.0f
                : std::ldexp(values[i], static_cast<int>(std::floor(std::min(n[i], 1000.0f))));
    return vector_of<simde__m512>(values);
}
// As far off as the instruction may be: 2^-14.
inline simde__m512 rcp14(simde__m512 a) {
    return map<simde__m512, float, float>(a, [](float v) { return (1.0f - 6.1e-5f) / v; });
}

// Memory, as far as a mask allows: what it hides is not touched.
template <class E, class V>
V load_some(unsigned mask, const void* from) {
    std::array<E, sizeof(V) / sizeof(E)> values{};
    for (std::size_t i = 0; i < values.size(); ++i)
        if (mask >> i & 1)
            std::memcpy(&values[i], static_cast<const char*>(from) + i * sizeof(E), sizeof(E));
    return vector_of<V>(values);
}
template <class E, class V>
void store_some(void* to, unsigned mask, V a) {
    const auto values = elements<E>(a);
    for (std::size_t i = 0; i < values.size(); ++i)
        if (mask >> i & 1)
            std::memcpy(static_cast<char*>(to) + i * sizeof(E), &values[i], sizeof(E));
}
inline simde__m512 gather(simde__m512i indices, const void* base, int scale) {
    const auto index = elements<std::int32_t>(indices);
    std::array<float, 16> values{};
    for (std::size_t i = 0; i < 16; ++i)
        std::memcpy(&values[i], static_cast<const char*>(base) + std::int64_t{index[i]} * scale,
                    sizeof(float));
    return vector_of<simde__m512>(values);
}

inline float reduce_add(simde__m512 a) {
    auto values = elements<float>(a);
    for (std::size_t half = 8; half > 0; half /= 2)
        for (std::size_t i = 0; i < half; ++i) values[i] += values[i + half];
    return values[0];
}
inline float reduce_max(simde__m512 a) {
    float most = elements<float>(a)[0];
    for (float value : elements<float>(a)) most = value > most ? value : most;
    return most;
}

// Quarters of a, a, b, b, as two bits each of `choice` say.
inline simde__m512 shuffle_quarters(simde__m512 a, simde__m512 b, unsigned choice) {
    const auto x = elements<float>(a), y = elements<float>(b);
    std::array<float, 16> to{};
    for (std::size_t quarter = 0; quarter < 4; ++quarter)
        for (std::size_t i = 0; i < 4; ++i)
            to[4 * quarter + i] = (quarter < 2 ? x : y)[4 * (choice >> (2 * quarter) & 3) + i];
    return vector_of<simde__m512>(to);
}

inline simde__m512i madd_epi16(simde__m512i a, simde__m512i b) {
    const auto x = elements<std::int16_t>(a), y = elements<std::int16_t>(b);
    std::array<std::int32_t, 16> sums{};
    for (std::size_t i = 0; i < 32; ++i) sums[i / 2] += x[i] * y[i];
    return vector_of<simde__m512i>(sums);
}
// VPDPBUSD of 32 bytes.
inline __m256i dpbusd(__m256i sums, __m256i a, __m256i b) {
    auto s = elements<std::int32_t>(sums);
    const auto x = elements<std::uint8_t>(a);
    const auto y = elements<std::int8_t>(b);
    for (std::size_t i = 0; i < 32; ++i) s[i / 4] += x[i] * y[i];
    return vector_of<__m256i>(s);
}

// AMX: tiles, as the instruction's configuration gives their sizes.
struct Tile {
    std::size_t rows = 0, row_bytes = 0;
    unsigned char bytes[16][64];

    template <class E>
    E get(std::size_t row, std::size_t column) const {
        E value;
        std::memcpy(&value, &bytes[row][column * sizeof(E)], sizeof(E));
        return value;
    }
    template <class E>
    void set(std::size_t row, std::size_t column, E value) {
        std::memcpy(&bytes[row][column * sizeof(E)], &value, sizeof(E));
    }
};
inline thread_local std::array<Tile, 8> tiles;

inline void tile_loadconfig(const void* at) {
    const auto* config = static_cast<const unsigned char*>(at);
    for (std::size_t i = 0; i < tiles.size(); ++i) {
        tiles[i].row_bytes = config[16 + 2 * i];
        tiles[i].rows = config[48 + i];
        std::memset(tiles[i].bytes, 0, sizeof tiles[i].bytes);
    }
}
inline void tile_release() { tiles = {}; }
inline void tile_zero(int tile) {
    std::memset(tiles[static_cast<std::size_t>(tile)].bytes, 0, sizeof(Tile::bytes));
}
inline void tile_load(int number, const void* base, std::int64_t stride) {
    Tile& tile = tiles[static_cast<std::size_t>(number)];
    for (std::size_t row = 0; row < tile.rows; ++row)
        std::memcpy(tile.bytes[row],
                    static_cast<const char*>(base) + static_cast<std::int64_t>(row) * stride,
                    tile.row_bytes);
}
inline void tile_store(int number, void* base, std::int64_t stride) {
    const Tile& tile = tiles[static_cast<std::size_t>(number)];
    for (std::size_t row = 0; row < tile.rows; ++row)
        std::memcpy(static_cast<char*>(base) + static_cast<std::int64_t>(row) * stride,
                    tile.bytes[row], tile.row_bytes);
}
// sums[i][j] += Σ x[i][k]·w[k / members][j][k % members]; Sum of products of an X and a W.
template <class Sum, class X, class W, class Widen>
void multiply_tiles(int sums_number, int x_number, int w_number, Widen widen) {
    Tile& sums = tiles[static_cast<std::size_t>(sums_number)];
    const Tile& x = tiles[static_cast<std::size_t>(x_number)];
    const Tile& w = tiles[static_cast<std::size_t>(w_number)];
    constexpr std::size_t members = 4 / sizeof(X);
    for (std::size_t i = 0; i < sums.rows; ++i)
        for (std::size_t j = 0; j < sums.row_bytes / 4; ++j) {
            std::array<Sum, members> parts{};
            for (std::size_t k = 0; k < x.row_bytes / sizeof(X); ++k)
                parts[k % members] +=
                    widen(x.get<X>(i, k)) * widen(w.get<W>(k / members, j * members + k % members));
            Sum sum = sums.get<Sum>(i, j);
            for (Sum part : parts) sum += part;
            sums.set(i, j, sum);
        }
}
inline void tile_dpbf16ps(int sums, int x, int w) {
    multiply_tiles<float, std::uint16_t, std::uint16_t>(sums, x, w, widened);
}
inline void tile_dpbusd(int sums, int x, int w) {
    multiply_tiles<std::int32_t, std::uint8_t, std::int8_t>(sums, x, w,
                                                            [](auto v) { return std::int32_t{v}; });
}

}  // namespace emulated

#undef _tile_dpbf16ps
#undef _tile_dpbusd
#undef _tile_loadd
#undef _tile_stream_loadd
#undef _tile_stored
#undef _tile_zero
#define _tile_dpbf16ps(sums, x, w) emulated::tile_dpbf16ps(sums, x, w)
#define _tile_dpbusd(sums, x, w) emulated::tile_dpbusd(sums, x, w)
#define _tile_loadconfig(config) emulated::tile_loadconfig(config)
#define _tile_loadd(tile, base, stride) emulated::tile_load(tile, base, stride)
#define _tile_release() emulated::tile_release()
#define _tile_stored(tile, base, stride) emulated::tile_store(tile, base, stride)
#define _tile_stream_loadd(tile, base, stride) emulated::tile_load(tile, base, stride)
#define _tile_zero(tile) emulated::tile_zero(tile)
#undef _mm256_dpbusd_avx_epi32
#undef _mm256_mask_storeu_epi16
#undef _mm256_maskz_loadu_epi16
#undef _mm512_cvtepi32_epi16
#undef _mm512_cvtepi32_epi8
#undef _mm512_cvtepi32_ps
#undef _mm512_cvtepu16_epi32
#undef _mm512_cvtne2ps_pbh
#undef _mm512_cvtneps_pbh
#undef _mm512_cvttps_epi32
#undef _mm512_dpbf16_ps
#undef _mm512_i32gather_ps
#undef _mm512_madd_epi16
#undef _mm512_mask_storeu_ps
#undef _mm512_maskz_loadu_ps
#undef _mm512_permutexvar_epi16
#undef _mm512_reduce_add_ps
#undef _mm512_reduce_max_ps
#undef _mm512_roundscale_ps
#undef _mm512_scalef_ps
#undef _mm512_rcp14_ps
#undef _mm512_shuffle_f32x4
#undef _mm512_stream_ps
#define _mm256_dpbusd_avx_epi32(sums, a, b) emulated::dpbusd(sums, a, b)
#define _mm256_mask_storeu_epi16(p, mask, a) emulated::store_some<std::uint16_t>(p, mask, a)
#define _mm256_maskz_loadu_epi16(mask, p) emulated::load_some<std::uint16_t, __m256i>(mask, p)
#define _mm512_cvtepi32_epi16(a) emulated::cvtepi32_epi16(a)
#define _mm512_cvtepi32_epi8(a) emulated::cvtepi32_epi8(a)
#define _mm512_cvtepi32_ps(a) emulated::cvtepi32_ps(a)
#define _mm512_cvtepu16_epi32(a) emulated::cvtepu16_epi32(a)
#define _mm512_cvtne2ps_pbh(a, b) (__m512bh) emulated::cvtne2ps_pbh(a, b)
#define _mm512_cvtneps_pbh(a) emulated::cvtneps_pbh(a)
#define _mm512_cvttps_epi32(a) emulated::cvttps_epi32(a)
#define _mm512_dpbf16_ps(sums, a, b) emulated::dpbf16(sums, (simde__m512i)(a), (simde__m512i)(b))
#define _mm512_i32gather_ps(indices, base, scale) emulated::gather(indices, base, scale)
#define _mm512_madd_epi16(a, b) emulated::madd_epi16(a, b)
#define _mm512_mask_storeu_ps(p, mask, a) emulated::store_some<float>(p, mask, a)
#define _mm512_maskz_loadu_ps(mask, p) emulated::load_some<float, simde__m512>(mask, p)
#define _mm512_permutexvar_epi16(places, a) emulated::permutexvar_epi16(places, a)
#define _mm512_reduce_add_ps(a) emulated::reduce_add(a)
#define _mm512_reduce_max_ps(a) emulated::reduce_max(a)
#define _mm512_roundscale_ps(a, mode) emulated::round_to_integer(a)
#define _mm512_scalef_ps(a, powers) emulated::scalef(a, powers)
#define _mm512_rcp14_ps(a) emulated::rcp14(a)
#define _mm512_shuffle_f32x4(a, b, choice) emulated::shuffle_quarters(a, b, choice)
#define _mm512_stream_ps(p, a) _mm512_storeu_ps(p, a)
