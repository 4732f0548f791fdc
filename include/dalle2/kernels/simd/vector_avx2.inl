// Vectors of eight floats. Included inside a namespace and a target region.

inline constexpr int lanes = 8;
using vf = __m256;
using vi = __m256i;

DALLE2_INLINE vf zero() { return _mm256_setzero_ps(); }
DALLE2_INLINE vf set1(float a) { return _mm256_set1_ps(a); }
DALLE2_INLINE vf fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
DALLE2_INLINE vf max(vf a, vf b) { return _mm256_max_ps(a, b); }
DALLE2_INLINE vf min(vf a, vf b) { return _mm256_min_ps(a, b); }
DALLE2_INLINE vf abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
DALLE2_INLINE vf sqrt(vf a) { return _mm256_sqrt_ps(a); }
DALLE2_INLINE vf copy_sign(vf a, vf b) {
    const vf sign = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(sign, a), _mm256_and_ps(sign, b));
}
DALLE2_INLINE vf round_to_integer(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
DALLE2_INLINE vf scale_by_power(vf a, vf n) {
    const vi exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(a, _mm256_castsi256_ps(exponent));
}
inline constexpr bool scales_beyond = false;
// (The instruction leaves a tenth of the last place of a bfloat16; a step of Newton's method nothing.)
DALLE2_INLINE vf near_reciprocal(vf x) {
    const vf y = _mm256_rcp_ps(x);
    return _mm256_mul_ps(y, _mm256_fnmadd_ps(x, y, set1(2.0f)));
}

DALLE2_INLINE vf zero_where_less(vf a, vf limit, vf value) {
    return _mm256_and_ps(value, _mm256_cmp_ps(a, limit, _CMP_NLT_UQ));
}
DALLE2_INLINE vf other_where_negative(vf a, vf value, vf other) {
    return _mm256_blendv_ps(value, other, _mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_LT_OQ));
}

DALLE2_INLINE vi first(int64 n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
// Every stride-th float.
DALLE2_INLINE vf load_strided(const float* p, int64 s) {
    return _mm256_setr_ps(p[0], p[s], p[2 * s], p[3 * s], p[4 * s], p[5 * s], p[6 * s], p[7 * s]);
}

DALLE2_INLINE vf load(const float* p) { return _mm256_loadu_ps(p); }
DALLE2_INLINE void store(float* p, vf a) { _mm256_storeu_ps(p, a); }
DALLE2_INLINE vf load(const float* p, int64 n) { return _mm256_maskload_ps(p, first(n)); }
DALLE2_INLINE void store(float* p, vf a, int64 n) { _mm256_maskstore_ps(p, first(n), a); }

DALLE2_INLINE void transpose(const float* from, float* to) {
    vf a[8], b[8];
    DALLE2_UNROLL for (int i = 0; i < 8; ++i) a[i] = load(from + 16 * i);
    DALLE2_UNROLL for (int i = 0; i < 8; i += 2) {
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
    // Then a[4g + c] has in its half h the rows 4g to 4g + 3 of column 4h + c.
    DALLE2_UNROLL for (int i = 0; i < 8; i += 4) DALLE2_UNROLL for (int half = 0; half < 2; ++half) {
        const __m256d x = _mm256_castps_pd(b[i + half]), y = _mm256_castps_pd(b[i + half + 2]);
        a[i + 2 * half] = _mm256_castpd_ps(_mm256_unpacklo_pd(x, y));
        a[i + 2 * half + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(x, y));
    }
    DALLE2_UNROLL for (int c = 0; c < 4; ++c) {
        store(to + 16 * c, _mm256_permute2f128_ps(a[c], a[4 + c], 0x20));
        store(to + 16 * (4 + c), _mm256_permute2f128_ps(a[c], a[4 + c], 0x31));
    }
}

DALLE2_INLINE vf widen(__m128i a) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(a), 16)); }
DALLE2_INLINE __m128i narrow(vf a) {
    const vi bits = _mm256_castps_si256(a);
    const vi odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const vi rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const vi quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const vi nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    const vi kept = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    const vi packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(kept, kept), 0x08);
    return _mm256_castsi256_si128(packed);
}
DALLE2_INLINE vf load(const bfloat16* p) { return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
DALLE2_INLINE void store(bfloat16* p, vf a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow(a)); }
DALLE2_INLINE vf load(const bfloat16* p, int64 n) {
    alignas(16) unsigned short values[8] = {};
    __builtin_memcpy(values, p, static_cast<std::size_t>(n) * 2);
    return widen(_mm_load_si128(reinterpret_cast<const __m128i*>(values)));
}
DALLE2_INLINE void store(bfloat16* p, vf a, int64 n) {
    alignas(16) unsigned short values[8];
    _mm_store_si128(reinterpret_cast<__m128i*>(values), narrow(a));
    __builtin_memcpy(static_cast<void*>(p), values, static_cast<std::size_t>(n) * 2);
}

DALLE2_INLINE float sum(vf a) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_shuffle_ps(half, half, 1)));
}
DALLE2_INLINE float largest(vf a) {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_shuffle_ps(half, half, 1)));
}

DALLE2_INLINE vf load_weights(const float* p) { return _mm256_loadu_ps(p); }
DALLE2_INLINE vf broadcast_step(const float* p) { return _mm256_broadcast_ss(p); }
DALLE2_INLINE vf multiply_add(vf acc, vf x, vf w) { return _mm256_fmadd_ps(x, w, acc); }

inline constexpr bool multiplies_bfloat16 = false;
// The first or the second of eight pairs.
DALLE2_INLINE vf load_weights(const bfloat16* p, int64 member) {
    const vi v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const vi first_up = _mm256_sll_epi32(v, _mm_cvtsi64_si128(16 - 16 * member));
    return _mm256_castsi256_ps(_mm256_and_si256(first_up, _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
}

DALLE2_INLINE void interleave(const bfloat16* a, const bfloat16* b, bfloat16* to) {
    for (int half = 0; half < 2; ++half) {
        const vi low = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a + 8 * half)));
        const vi high = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b + 8 * half)));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 16 * half), _mm256_or_si256(low, _mm256_slli_epi32(high, 16)));
    }
}

// Whole numbers: sums of products of bytes.
DALLE2_INLINE vi load(const std::int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
DALLE2_INLINE void store(std::int32_t* p, vi a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a); }
DALLE2_INLINE vf to_floats(vi a) { return _mm256_cvtepi32_ps(a); }
// a - b · factor
DALLE2_INLINE vi minus_product(vi a, vi b, std::int32_t factor) {
    return _mm256_sub_epi32(a, _mm256_mullo_epi32(b, _mm256_set1_epi32(factor)));
}
// Whole numbers from 0 to 255.
DALLE2_INLINE __m128i words(vf a) {
    const vi whole = _mm256_cvttps_epi32(a);
    return _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
}
DALLE2_INLINE void store_whole(std::uint8_t* p, vf a) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words(a), words(a)));
}
DALLE2_INLINE void store_whole(std::int16_t* p, vf a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), words(a)); }

DALLE2_INLINE int four_bytes(const void* p) {
    int bits;
    __builtin_memcpy(&bits, p, 4);
    return bits;
}
inline constexpr bool multiplies_bytes = DALLE2_HAVE_VNNI;
#if DALLE2_HAVE_VNNI
struct Fours {
    vi v;
};
DALLE2_INLINE Fours load_weights(const std::int8_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
DALLE2_INLINE Fours broadcast_step(const std::uint8_t* p) { return {_mm256_set1_epi32(four_bytes(p))}; }
DALLE2_INLINE vi multiply_add(vi acc, Fours x, Fours w) { return _mm256_dpbusd_avx_epi32(acc, x.v, w.v); }
#else
// Widened to 16 bits: vpmaddubsw would saturate.
struct Twos {
    vi v;
};
// The first or the second two of eight fours: each byte into the upper half of 16 bits, then down with its sign.
DALLE2_INLINE Twos load_weights(const std::int8_t* p, int64 half) {
    alignas(32) static constexpr std::int8_t places[2][32] = {
        {-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13},
        {-1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15}};
    const vi v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const vi place = _mm256_load_si256(reinterpret_cast<const __m256i*>(places[half]));
    return {_mm256_srai_epi16(_mm256_shuffle_epi8(v, place), 8)};
}
DALLE2_INLINE Twos broadcast_step(const std::int16_t* p) { return {_mm256_set1_epi32(four_bytes(p))}; }
DALLE2_INLINE vi multiply_add(vi acc, Twos x, Twos w) { return _mm256_add_epi32(acc, _mm256_madd_epi16(x.v, w.v)); }
#endif

inline constexpr int max_panels = 1;
inline constexpr int rows_of_panels[max_panels + 1] = {0, 6};
// See VectorKernels and ConvPlan.
inline constexpr int64 whole_rows = 24, chunk_bytes = 4096;
inline constexpr bool stores_past = false;
DALLE2_INLINE void fence_past() {}
inline constexpr int64 channels_together = 6, least_panels_together = 1;
// (Each panel reads all inputs of a block: as many as leave some of a shared cache to others.)
inline constexpr int64 winograd_bytes = 2 << 20, winograd_tiles = 48;
inline constexpr int64 block_bytes = 0;  // see ConvPlan
inline constexpr bool fetches_lines = false;  // of weights, without assembly: see fetches_ahead

// (A compiler that does not optimise wants registers for addresses, and this leaves too few.)
#if defined(__OPTIMIZE__)
#include <dalle2/kernels/simd/tiles_avx2.inl>
#else
inline constexpr bool sums_in_assembly = false;
#endif
