// Vectors of sixteen floats. Included inside a namespace and a target region.

inline constexpr int lanes = 16;
using vf = __m512;   // floats
using vi = __m512i;  // 32-bit integers, or pairs of bfloat16

DALLE2_INLINE vf zero() { return _mm512_setzero_ps(); }
DALLE2_INLINE vf set1(float a) { return _mm512_set1_ps(a); }
DALLE2_INLINE vf fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
DALLE2_INLINE vf max(vf a, vf b) { return _mm512_max_ps(a, b); }
DALLE2_INLINE vf min(vf a, vf b) { return _mm512_min_ps(a, b); }
DALLE2_INLINE vf abs(vf a) { return _mm512_abs_ps(a); }
DALLE2_INLINE vf sqrt(vf a) { return _mm512_sqrt_ps(a); }
// a with the sign of b.
DALLE2_INLINE vf copy_sign(vf a, vf b) {
    const vi sign = _mm512_set1_epi32(static_cast<int>(0x80000000u));
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_andnot_si512(sign, _mm512_castps_si512(a)),
                                               _mm512_and_si512(sign, _mm512_castps_si512(b))));
}
DALLE2_INLINE vf round_to_integer(vf a) { return _mm512_roundscale_ps(a, 8); }
// a · 2^n for integral n; where scales_beyond is false, within the exponents of normal numbers.
DALLE2_INLINE vf scale_by_power(vf a, vf n) { return _mm512_scalef_ps(a, n); }
inline constexpr bool scales_beyond = true;
// 1/x for x from 1 on, to a twentieth of the last place of a bfloat16; 0 where that would be denormal.
DALLE2_INLINE vf near_reciprocal(vf x) { return _mm512_rcp14_ps(x); }

// value, or zero where a < limit.
DALLE2_INLINE vf zero_where_less(vf a, vf limit, vf value) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, limit, _CMP_NLT_UQ), value);
}
// value, or other where a < 0.
DALLE2_INLINE vf other_where_negative(vf a, vf value, vf other) {
    return _mm512_mask_mov_ps(value, _mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_LT_OQ), other);
}

// Every stride-th float.
DALLE2_INLINE vf load_strided(const float* p, int64 stride) {
    const vi index = _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                                        _mm512_set1_epi32(static_cast<int>(stride)));
    return _mm512_i32gather_ps(index, p, 4);
}

DALLE2_INLINE vf load(const float* p) { return _mm512_loadu_ps(p); }
DALLE2_INLINE void store(float* p, vf a) { _mm512_storeu_ps(p, a); }
DALLE2_INLINE __mmask16 first(int64 n) { return static_cast<__mmask16>((1u << n) - 1u); }
DALLE2_INLINE vf load(const float* p, int64 n) { return _mm512_maskz_loadu_ps(first(n), p); }
DALLE2_INLINE void store(float* p, vf a, int64 n) { _mm512_mask_storeu_ps(p, first(n), a); }

// to[i][j] = from[j][i], both of lanes rows and columns in rows of 16.
DALLE2_INLINE void transpose(const float* from, float* to) {
    vf a[16], b[16];
    DALLE2_UNROLL for (int i = 0; i < 16; ++i) a[i] = load(from + 16 * i);
    DALLE2_UNROLL for (int i = 0; i < 16; i += 2) {
        b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
    }
    // Then a[4g + c] has in its quarter q the rows 4g to 4g + 3 of column 4q + c.
    DALLE2_UNROLL for (int i = 0; i < 16; i += 4) DALLE2_UNROLL for (int half = 0; half < 2; ++half) {
        const __m512d x = _mm512_castps_pd(b[i + half]), y = _mm512_castps_pd(b[i + half + 2]);
        a[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
        a[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
    }
    DALLE2_UNROLL for (int c = 0; c < 4; ++c) {
        const vf even_low = _mm512_shuffle_f32x4(a[c], a[4 + c], 0x88);
        const vf odd_low = _mm512_shuffle_f32x4(a[c], a[4 + c], 0xdd);
        const vf even_high = _mm512_shuffle_f32x4(a[8 + c], a[12 + c], 0x88);
        const vf odd_high = _mm512_shuffle_f32x4(a[8 + c], a[12 + c], 0xdd);
        store(to + 16 * c, _mm512_shuffle_f32x4(even_low, even_high, 0x88));
        store(to + 16 * (4 + c), _mm512_shuffle_f32x4(odd_low, odd_high, 0x88));
        store(to + 16 * (8 + c), _mm512_shuffle_f32x4(even_low, even_high, 0xdd));
        store(to + 16 * (12 + c), _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd));
    }
}

DALLE2_INLINE vf widen(__m256i a) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(a), 16)); }
DALLE2_INLINE __m256i narrow(vf a) {
#if DALLE2_HAVE_BF16
    return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(a));
#else
    // Round to nearest, ties to even; NaN stays NaN.
    const vi bits = _mm512_castps_si512(a);
    const vi odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const vi rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    const vi kept = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16));
#endif
}
DALLE2_INLINE vf load(const bfloat16* p) { return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
DALLE2_INLINE void store(bfloat16* p, vf a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(a)); }
DALLE2_INLINE vf load(const bfloat16* p, int64 n) { return widen(_mm256_maskz_loadu_epi16(first(n), p)); }
DALLE2_INLINE void store(bfloat16* p, vf a, int64 n) { _mm256_mask_storeu_epi16(p, first(n), narrow(a)); }

// Past the caches, a whole vector of whole lines; fence_past comes before others read them.
inline constexpr bool stores_past = true;
DALLE2_INLINE void store_past(float* p, vf a) { _mm512_stream_ps(p, a); }
DALLE2_INLINE void store_past(bfloat16* p, vf a) { _mm256_stream_si256(reinterpret_cast<__m256i*>(p), narrow(a)); }
DALLE2_INLINE void fence_past() { _mm_sfence(); }

DALLE2_INLINE float sum(vf a) { return _mm512_reduce_add_ps(a); }
DALLE2_INLINE float largest(vf a) { return _mm512_reduce_max_ps(a); }

// One step of a product: acc + x · w, for one x per row and sixteen outputs of w; for bfloat16 a step
// takes a pair of inputs.
DALLE2_INLINE vf load_weights(const float* p) { return _mm512_loadu_ps(p); }
DALLE2_INLINE vf broadcast_step(const float* p) { return _mm512_set1_ps(*p); }
DALLE2_INLINE vf multiply_add(vf acc, vf x, vf w) { return _mm512_fmadd_ps(x, w, acc); }

DALLE2_INLINE int four_bytes(const void* p) {
    int bits;
    __builtin_memcpy(&bits, p, 4);
    return bits;
}

inline constexpr bool multiplies_bfloat16 = DALLE2_HAVE_BF16;
// The first or the second of sixteen pairs.
DALLE2_INLINE vf load_weights(const bfloat16* p, int64 member) {
    const vi first_up = _mm512_sll_epi32(_mm512_loadu_si512(p), _mm_cvtsi64_si128(16 - 16 * member));
    return _mm512_castsi512_ps(_mm512_and_si512(first_up, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
}
#if DALLE2_HAVE_BF16
struct WeightPairs {
    vi v;
};
DALLE2_INLINE WeightPairs load_weights(const bfloat16* p) { return {_mm512_loadu_si512(p)}; }
DALLE2_INLINE WeightPairs broadcast_step(const bfloat16* p) {
    vi pairs = _mm512_set1_epi32(four_bytes(p));
#if defined(__clang__)
    // clang 16 crashes where it sees that a vector of bfloat16 is made of equal pairs.
    asm("" : "+v"(pairs));
#endif
    return {pairs};
}
DALLE2_INLINE vf multiply_add(vf acc, WeightPairs x, WeightPairs w) {
    return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(x.v), reinterpret_cast<__m512bh>(w.v));
}
#endif

// Two rows of sixteen bfloat16 as sixteen pairs: out[2i] = a[i], out[2i + 1] = b[i].
DALLE2_INLINE void store_interleaved(bfloat16* to, __m256i a, __m256i b) {
    _mm512_storeu_si512(to, _mm512_or_si512(_mm512_cvtepu16_epi32(a), _mm512_slli_epi32(_mm512_cvtepu16_epi32(b), 16)));
}
DALLE2_INLINE void interleave(const bfloat16* a, const bfloat16* b, bfloat16* to) {
    store_interleaved(to, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a)),
                      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b)));
}

// Whole numbers: sums of products of bytes.
DALLE2_INLINE vi load(const std::int32_t* p) { return _mm512_loadu_si512(p); }
DALLE2_INLINE void store(std::int32_t* p, vi a) { _mm512_storeu_si512(p, a); }
DALLE2_INLINE vf to_floats(vi a) { return _mm512_cvtepi32_ps(a); }
// a - b · factor
DALLE2_INLINE vi minus_product(vi a, vi b, std::int32_t factor) {
    return _mm512_sub_epi32(a, _mm512_mullo_epi32(b, _mm512_set1_epi32(factor)));
}
// Whole numbers from 0 to 255.
DALLE2_INLINE void store_whole(std::uint8_t* p, vf a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(a)));
}
DALLE2_INLINE void store_whole(std::int16_t* p, vf a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_cvttps_epi32(a)));
}

inline constexpr bool multiplies_bytes = DALLE2_HAVE_VNNI;
#if DALLE2_HAVE_VNNI
struct Fours {
    vi v;
};
DALLE2_INLINE Fours load_weights(const std::int8_t* p) { return {_mm512_loadu_si512(p)}; }
DALLE2_INLINE Fours broadcast_step(const std::uint8_t* p) { return {_mm512_set1_epi32(four_bytes(p))}; }
DALLE2_INLINE vi multiply_add(vi acc, Fours x, Fours w) { return _mm512_dpbusd_epi32(acc, x.v, w.v); }
#else
// Widened to 16 bits: vpmaddubsw would saturate.
struct Twos {
    vi v;
};
// The first or the second two of sixteen fours: each byte into the upper half of 16 bits, then down with its sign.
DALLE2_INLINE Twos load_weights(const std::int8_t* p, int64 half) {
    const std::int8_t h = static_cast<std::int8_t>(2 * half);
    const auto at = [&](int place) DALLE2_LAMBDA { return static_cast<char>(place + h); };
    const __m128i places =
        _mm_setr_epi8(-1, at(0), -1, at(1), -1, at(4), -1, at(5), -1, at(8), -1, at(9), -1, at(12), -1, at(13));
    return {_mm512_srai_epi16(_mm512_shuffle_epi8(_mm512_loadu_si512(p), _mm512_broadcast_i32x4(places)), 8)};
}
DALLE2_INLINE Twos broadcast_step(const std::int16_t* p) { return {_mm512_set1_epi32(four_bytes(p))}; }
DALLE2_INLINE vi multiply_add(vi acc, Twos x, Twos w) { return _mm512_add_epi32(acc, _mm512_madd_epi16(x.v, w.v)); }
#endif

// The most panels that a micro-kernel takes, and the rows that the one of n panels takes; then see VectorKernels and ConvPlan.
#if DALLE2_HAVE_AMX
inline constexpr int max_panels = 2;
inline constexpr int rows_of_panels[max_panels + 1] = {0, 32, 32};
inline constexpr int64 whole_rows = 32, chunk_bytes = 1024;
#else
inline constexpr int max_panels = 4;
inline constexpr int rows_of_panels[max_panels + 1] = {0, 12, 12, 8, 6};
inline constexpr int64 whole_rows = 24, chunk_bytes = 4096;
#endif
// (Not of pairs. Where a kernel takes one panel or two, more rows than stand together keep its units busy.)
inline constexpr int64 channels_together = DALLE2_HAVE_BF16 ? 0 : 6, least_panels_together = 3;
inline constexpr int64 winograd_bytes = 6 << 20, winograd_tiles = 96;
// See ConvPlan. (Second-level caches have 1 MB, or 2.)
inline constexpr int64 block_bytes = 768 << 10;
inline constexpr bool fetches_lines = true;  // of weights, without assembly: see fetches_ahead
inline constexpr bool sums_in_assembly = false;
