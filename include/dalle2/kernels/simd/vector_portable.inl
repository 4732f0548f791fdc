// Vectors of four floats in the compiler's own vector types: no intrinsics. Included inside a namespace.

inline constexpr int lanes = 4;
typedef float vf __attribute__((vector_size(16)));
typedef std::int32_t vi __attribute__((vector_size(16)));

DALLE2_INLINE vf zero() { return vf{}; }
DALLE2_INLINE vf set1(float a) { return vf{a, a, a, a}; }
DALLE2_INLINE vf fma(vf a, vf b, vf c) { return a * b + c; }
DALLE2_INLINE vf max(vf a, vf b) { return a > b ? a : b; }
DALLE2_INLINE vf min(vf a, vf b) { return a < b ? a : b; }
DALLE2_INLINE vf abs(vf a) { return reinterpret_cast<vf>(reinterpret_cast<vi>(a) & 0x7fffffff); }
DALLE2_INLINE vf sqrt(vf a) {
    return vf{__builtin_sqrtf(a[0]), __builtin_sqrtf(a[1]), __builtin_sqrtf(a[2]), __builtin_sqrtf(a[3])};
}
DALLE2_INLINE vf copy_sign(vf a, vf b) {
    return reinterpret_cast<vf>((reinterpret_cast<vi>(a) & 0x7fffffff) |
                                (reinterpret_cast<vi>(b) & static_cast<std::int32_t>(0x80000000u)));
}
// Exact for |a| < 2^22, which is all that is asked of it.
DALLE2_INLINE vf round_to_integer(vf a) {
    const vf magic = set1(12582912.0f);
    return (a + magic) - magic;
}
DALLE2_INLINE vf scale_by_power(vf a, vf n) {
    const vi exponent = (__builtin_convertvector(n, vi) + 127) << 23;
    return a * reinterpret_cast<vf>(exponent);
}
inline constexpr bool scales_beyond = false;
// Newton's method twice from a line through the logarithm, which the bits of a float are about: divisions take longer.
DALLE2_INLINE vf near_reciprocal(vf x) {
    vf y = reinterpret_cast<vf>(0x7ef311c7 - reinterpret_cast<vi>(x));
    y = y * (set1(2.0f) - x * y);
    return y * (set1(2.0f) - x * y);
}

DALLE2_INLINE vf zero_where_less(vf a, vf limit, vf value) { return a < limit ? zero() : value; }
DALLE2_INLINE vf other_where_negative(vf a, vf value, vf other) { return a < zero() ? other : value; }

// Every stride-th float.
DALLE2_INLINE vf load_strided(const float* p, int64 s) { return vf{p[0], p[s], p[2 * s], p[3 * s]}; }

DALLE2_INLINE vf load(const float* p) {
    vf a;
    __builtin_memcpy(&a, p, 16);
    return a;
}
DALLE2_INLINE void store(float* p, vf a) { __builtin_memcpy(p, &a, 16); }
DALLE2_INLINE vf load(const float* p, int64 n) {
    vf a{};
    __builtin_memcpy(&a, p, static_cast<std::size_t>(n) * 4);
    return a;
}
DALLE2_INLINE void store(float* p, vf a, int64 n) { __builtin_memcpy(p, &a, static_cast<std::size_t>(n) * 4); }

DALLE2_INLINE void transpose(const float* from, float* to) {
    DALLE2_UNROLL for (int i = 0; i < 4; ++i) store(to + 16 * i, load_strided(from + i, 16));
}

DALLE2_INLINE vf load(const bfloat16* p, int64 n) {
    unsigned short values[4] = {};
    __builtin_memcpy(values, p, static_cast<std::size_t>(n) * 2);
    return reinterpret_cast<vf>(vi{values[0], values[1], values[2], values[3]} << 16);
}
DALLE2_INLINE vf load(const bfloat16* p) { return load(p, 4); }
DALLE2_INLINE void store(bfloat16* p, vf a, int64 n) {
    const vi bits = reinterpret_cast<vi>(a);
    const vi rounded = bits + (((bits >> 16) & 1) + 0x7fff);
    const vi kept = a == a ? rounded : (bits | 0x400000);
    const unsigned short values[4] = {
        static_cast<unsigned short>(kept[0] >> 16), static_cast<unsigned short>(kept[1] >> 16),
        static_cast<unsigned short>(kept[2] >> 16), static_cast<unsigned short>(kept[3] >> 16)};
    __builtin_memcpy(static_cast<void*>(p), values, static_cast<std::size_t>(n) * 2);
}
DALLE2_INLINE void store(bfloat16* p, vf a) { store(p, a, 4); }

DALLE2_INLINE float sum(vf a) { return (a[0] + a[2]) + (a[1] + a[3]); }
DALLE2_INLINE float largest(vf a) {
    const float low = a[0] > a[1] ? a[0] : a[1], high = a[2] > a[3] ? a[2] : a[3];
    return low > high ? low : high;
}

DALLE2_INLINE vf load_weights(const float* p) { return load(p); }
DALLE2_INLINE vf broadcast_step(const float* p) { return set1(*p); }
DALLE2_INLINE vf multiply_add(vf acc, vf x, vf w) { return acc + x * w; }

inline constexpr bool multiplies_bfloat16 = false;
// The first or the second of four pairs.
DALLE2_INLINE vf load_weights(const bfloat16* p, int64 member) {
    vi v;
    __builtin_memcpy(&v, p, 16);
    return reinterpret_cast<vf>(v << static_cast<int>(16 - 16 * member) & static_cast<std::int32_t>(0xffff0000u));
}

DALLE2_INLINE void interleave(const bfloat16* a, const bfloat16* b, bfloat16* to) {
    for (int i = 0; i < 16; ++i) {
        to[2 * i] = a[i];
        to[2 * i + 1] = b[i];
    }
}

// Whole numbers: sums of products of bytes.
DALLE2_INLINE vi load(const std::int32_t* p) {
    vi a;
    __builtin_memcpy(&a, p, 16);
    return a;
}
DALLE2_INLINE void store(std::int32_t* p, vi a) { __builtin_memcpy(p, &a, 16); }
DALLE2_INLINE vf to_floats(vi a) { return __builtin_convertvector(a, vf); }
// a - b · factor
DALLE2_INLINE vi minus_product(vi a, vi b, std::int32_t factor) { return a - b * factor; }
// Whole numbers from 0 to 255.
DALLE2_INLINE void store_whole(std::int16_t* p, vf a) {
    for (int i = 0; i < 4; ++i) p[i] = static_cast<std::int16_t>(a[i]);
}

inline constexpr bool multiplies_bytes = false;
// A byte times a weight fits into 16 bits.
typedef std::int16_t vw __attribute__((vector_size(16)));
// The first or the second two of four fours.
DALLE2_INLINE vw load_weights(const std::int8_t* p, int64 half) {
    vw twos;
    for (int i = 0; i < 8; ++i) twos[i] = p[i / 2 * 4 + 2 * half + i % 2];
    return twos;
}
DALLE2_INLINE vw broadcast_step(const std::int16_t* p) { return vw{p[0], p[1], p[0], p[1], p[0], p[1], p[0], p[1]}; }
DALLE2_INLINE vi multiply_add(vi acc, vw x, vw w) {
    const vi products = reinterpret_cast<vi>(x * w);
    return acc + ((products << 16) >> 16) + (products >> 16);
}

inline constexpr int max_panels = 1;
inline constexpr int rows_of_panels[max_panels + 1] = {0, 2};
inline constexpr bool stores_past = false;
DALLE2_INLINE void fence_past() {}
inline constexpr bool sums_in_assembly = false;
// See VectorKernels and ConvPlan.
inline constexpr int64 whole_rows = 24, chunk_bytes = 4096;
inline constexpr int64 channels_together = 0, least_panels_together = 1;
inline constexpr int64 winograd_bytes = 6 << 20, winograd_tiles = 96;
inline constexpr int64 block_bytes = 0;  // see ConvPlan
inline constexpr bool fetches_lines = false;  // of weights, without assembly: see fetches_ahead
