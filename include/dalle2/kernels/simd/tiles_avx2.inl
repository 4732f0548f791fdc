// The inner loops of products with six rows and sixteen outputs, in assembly. Their twelve sums, two vectors of weights and one of x
// leave a single register: compilers move sums to memory when they unroll such a loop, or do not unroll it. Unrolled and aligned it
// takes an eighth fewer instructions than theirs, a fourth with weights of bfloat16, which counts most where two threads share a
// core. Included inside a namespace and a target region.

inline constexpr bool sums_in_assembly = true;

// Sums of one row, in registers `first` and `second`: += its number at `x` · the weights in ymm12 and ymm13.
#define DALLE2_ROW(x, first, second)                     \
    "vbroadcastss " x ", %%ymm15\n\t"                    \
    "vfmadd231ps %%ymm12, %%ymm15, %%ymm" first "\n\t"   \
    "vfmadd231ps %%ymm13, %%ymm15, %%ymm" second "\n\t"

// Six rows, which are found by a pointer each.
#define DALLE2_POINTER_ROWS(at)                          \
    DALLE2_ROW(at "(%[x0],%[k])", "0", "1")              \
    DALLE2_ROW(at "(%[x1],%[k])", "2", "3")              \
    DALLE2_ROW(at "(%[x2],%[k])", "4", "5")              \
    DALLE2_ROW(at "(%[x3],%[k])", "6", "7")              \
    DALLE2_ROW(at "(%[x4],%[k])", "8", "9")              \
    DALLE2_ROW(at "(%[x5],%[k])", "10", "11")

// Six rows whose numbers are neighbours.
#define DALLE2_NEIGHBOUR_ROWS                            \
    DALLE2_ROW("(%[x])", "0", "1")                       \
    DALLE2_ROW("4(%[x])", "2", "3")                      \
    DALLE2_ROW("8(%[x])", "4", "5")                      \
    DALLE2_ROW("12(%[x])", "6", "7")                     \
    DALLE2_ROW("16(%[x])", "8", "9")                     \
    DALLE2_ROW("20(%[x])", "10", "11")

#define DALLE2_WEIGHTS(at, after)                        \
    "vmovups " at "(%[w]), %%ymm12\n\t"                  \
    "vmovups " after "(%[w]), %%ymm13\n\t"
// Of a pair of bfloat16 the first, and the second: ymm14 has ones in the upper half of each number.
#define DALLE2_FIRST_WEIGHTS(at, after)                  \
    DALLE2_WEIGHTS(at, after)                            \
    "vpslld $16, %%ymm12, %%ymm12\n\t"                   \
    "vpslld $16, %%ymm13, %%ymm13\n\t"
#define DALLE2_SECOND_WEIGHTS(at, after)                 \
    "vpand " at "(%[w]), %%ymm14, %%ymm12\n\t"           \
    "vpand " after "(%[w]), %%ymm14, %%ymm13\n\t"

// One row of sums from or to memory, and on to the next.
#define DALLE2_LOAD_SUMS(first, second)                  \
    "vmovups (%[sums]), %%ymm" first "\n\t"              \
    "vmovups 32(%[sums]), %%ymm" second "\n\t"           \
    "add %[from_stride], %[sums]\n\t"
#define DALLE2_STORE_SUMS(first, second)                 \
    "vmovups %%ymm" first ", (%[sums])\n\t"              \
    "vmovups %%ymm" second ", 32(%[sums])\n\t"           \
    "add %[to_stride], %[sums]\n\t"
#define DALLE2_ALL_SUMS(each)                            \
    each("0", "1") each("2", "3") each("4", "5") each("6", "7") each("8", "9") each("10", "11")

#define DALLE2_EVERY_REGISTER                                                                                           \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", \
        "xmm14", "xmm15"

// Where sums [6, 16] come from and go to; strides in bytes.
struct TileSums {
    const float* from;
    int64 from_stride;
    float* to;
    int64 to_stride;
};

// Of sum_steps: all steps, `whole` bytes of x in a loop and those that are left.
#define DALLE2_SUM_STEPS(prepare, loop, one)                                                                                \
    asm volatile("mov %[from], %[sums]\n\t" DALLE2_ALL_SUMS(DALLE2_LOAD_SUMS) prepare                                       \
                 "test %[k], %[k]\n\t"                                                                                      \
                 "jz 2f\n\t"                                                                                                \
                 ".p2align 6\n"                                                                                             \
                 "1:\n\t"                                                                                                   \
                 loop "add %[ahead_stride], %[ahead]\n\t"                                                                   \
                 "add $16, %[k]\n\t"                                                                                        \
                 "jnz 1b\n"                                                                                                 \
                 "2:\n\t"                                                                                                   \
                 "sub $1, %[left]\n\t"                                                                                      \
                 "js 3f\n\t" one                                                                                            \
                 "jmp 2b\n"                                                                                                 \
                 "3:\n\t"                                                                                                   \
                 "mov %[to], %[sums]\n\t" DALLE2_ALL_SUMS(DALLE2_STORE_SUMS)                                                \
                 "vzeroupper\n\t"                                                                                           \
                 : [sums] "=&r"(sums), [k] "+&r"(k), [w] "+&r"(w), [ahead] "+&r"(ahead), [left] "+&r"(left)                 \
                 : [x0] "r"(end[0]), [x1] "r"(end[1]), [x2] "r"(end[2]), [x3] "r"(end[3]), [x4] "r"(end[4]),                \
                   [x5] "r"(end[5]), [from] "m"(s.from), [from_stride] "m"(s.from_stride), [to] "m"(s.to),                  \
                   [to_stride] "m"(s.to_stride), [ahead_stride] "m"(ahead_stride)                                           \
                 : "memory", "cc", DALLE2_EVERY_REGISTER)
#define DALLE2_FETCH(at) "prefetcht1 " at "(%[ahead])\n\t"
#define DALLE2_NO_FETCH(at)

// to = from + Σ x[i][k] · w[k][16] over `steps`. Every four steps fetch the line at `ahead` and go ahead_stride bytes on, or, where
// that is more than a line, fetch all between.
DALLE2_INLINE void sum_steps(const TileSums& s, const float* const (&x)[6], const float* w, int64 steps, const char*& ahead,
                             int64 ahead_stride) {
    const int64 whole = steps / 4 * 16;
    const char* end[6];
    DALLE2_UNROLL for (int i = 0; i < 6; ++i) end[i] = reinterpret_cast<const char*>(x[i]) + whole;
    const float* sums;
    int64 k = -whole, left = steps % 4;
#define DALLE2_LOOP(fetch_more)                                                 \
    DALLE2_FETCH("0") DALLE2_WEIGHTS("0", "32") DALLE2_POINTER_ROWS("0")        \
    fetch_more("64") DALLE2_WEIGHTS("64", "96") DALLE2_POINTER_ROWS("4")        \
    fetch_more("128") DALLE2_WEIGHTS("128", "160") DALLE2_POINTER_ROWS("8")     \
    fetch_more("192") DALLE2_WEIGHTS("192", "224") DALLE2_POINTER_ROWS("12")    \
    "add $256, %[w]\n\t"
#define DALLE2_ONE DALLE2_WEIGHTS("0", "32") DALLE2_POINTER_ROWS("0") "add $64, %[w]\n\tadd $4, %[k]\n\t"
    if (ahead_stride <= 64)
        DALLE2_SUM_STEPS("", DALLE2_LOOP(DALLE2_NO_FETCH), DALLE2_ONE);
    else
        DALLE2_SUM_STEPS("", DALLE2_LOOP(DALLE2_FETCH), DALLE2_ONE);
#undef DALLE2_LOOP
#undef DALLE2_ONE
}

// The same with pairs of weights, w [step][16][2], and two numbers of x to each; every two steps fetch.
DALLE2_INLINE void sum_steps(const TileSums& s, const float* const (&x)[6], const bfloat16* w, int64 steps, const char*& ahead,
                             int64 ahead_stride) {
    const int64 whole = steps / 2 * 16;
    const char* end[6];
    DALLE2_UNROLL for (int i = 0; i < 6; ++i) end[i] = reinterpret_cast<const char*>(x[i]) + whole;
    const float* sums;
    int64 k = -whole, left = steps % 2;
#define DALLE2_UPPER_HALVES "vpcmpeqd %%ymm14, %%ymm14, %%ymm14\n\tvpslld $16, %%ymm14, %%ymm14\n\t"
#define DALLE2_LOOP(fetch_more)                                                   \
    DALLE2_FETCH("0") DALLE2_FIRST_WEIGHTS("0", "32") DALLE2_POINTER_ROWS("0")    \
    DALLE2_SECOND_WEIGHTS("0", "32") DALLE2_POINTER_ROWS("4")                     \
    fetch_more("64") DALLE2_FIRST_WEIGHTS("64", "96") DALLE2_POINTER_ROWS("8")    \
    DALLE2_SECOND_WEIGHTS("64", "96") DALLE2_POINTER_ROWS("12")                   \
    "add $128, %[w]\n\t"
#define DALLE2_ONE                                                \
    DALLE2_FIRST_WEIGHTS("0", "32") DALLE2_POINTER_ROWS("0")      \
    DALLE2_SECOND_WEIGHTS("0", "32") DALLE2_POINTER_ROWS("4")
    if (ahead_stride <= 64)
        DALLE2_SUM_STEPS(DALLE2_UPPER_HALVES, DALLE2_LOOP(DALLE2_NO_FETCH), DALLE2_ONE);
    else
        DALLE2_SUM_STEPS(DALLE2_UPPER_HALVES, DALLE2_LOOP(DALLE2_FETCH), DALLE2_ONE);
#undef DALLE2_UPPER_HALVES
#undef DALLE2_LOOP
#undef DALLE2_ONE
}

// to = from + Σ x[i] · w[16] over `rows` rows of `columns`, at least one of each: x moves on by x_stride bytes from column to column
// and by row_skip more at the end of a row, w by 64.
DALLE2_INLINE void sum_columns(const TileSums& s, const float* x, const float* w, int64 rows, int64 columns, int64 x_stride,
                               int64 row_skip) {
    const float* sums;
    int64 left;
    asm volatile("mov %[from], %[sums]\n\t" DALLE2_ALL_SUMS(DALLE2_LOAD_SUMS)
                 "0:\n\t"
                 "mov %[columns], %[left]\n\t"
                 "sub $4, %[left]\n\t"
                 "js 2f\n\t"
                 ".p2align 6\n"
                 "1:\n\t"
                 DALLE2_WEIGHTS("0", "32") DALLE2_NEIGHBOUR_ROWS "add %[x_stride], %[x]\n\t"
                 DALLE2_WEIGHTS("64", "96") DALLE2_NEIGHBOUR_ROWS "add %[x_stride], %[x]\n\t"
                 DALLE2_WEIGHTS("128", "160") DALLE2_NEIGHBOUR_ROWS "add %[x_stride], %[x]\n\t"
                 DALLE2_WEIGHTS("192", "224") DALLE2_NEIGHBOUR_ROWS "add %[x_stride], %[x]\n\t"
                 "add $256, %[w]\n\t"
                 "sub $4, %[left]\n\t"
                 "jns 1b\n"
                 "2:\n\t"
                 "add $4, %[left]\n"
                 "3:\n\t"
                 "sub $1, %[left]\n\t"
                 "js 4f\n\t"
                 DALLE2_WEIGHTS("0", "32") DALLE2_NEIGHBOUR_ROWS "add %[x_stride], %[x]\n\t"
                 "add $64, %[w]\n\t"
                 "jmp 3b\n"
                 "4:\n\t"
                 "add %[row_skip], %[x]\n\t"
                 "sub $1, %[rows]\n\t"
                 "jnz 0b\n\t"
                 "mov %[to], %[sums]\n\t" DALLE2_ALL_SUMS(DALLE2_STORE_SUMS)
                 "vzeroupper\n\t"
                 : [sums] "=&r"(sums), [left] "=&r"(left), [x] "+&r"(x), [w] "+&r"(w), [rows] "+&r"(rows)
                 : [x_stride] "r"(x_stride), [row_skip] "r"(row_skip), [columns] "r"(columns), [from] "m"(s.from),
                   [from_stride] "m"(s.from_stride), [to] "m"(s.to), [to_stride] "m"(s.to_stride)
                 : "memory", "cc", DALLE2_EVERY_REGISTER);
}

// The sums of a tile: see sum_tile.
template <class T, class Y>
void sum_in_assembly(const GemmTile<T, float, Y>& t) {
    alignas(64) static constexpr float zeros[16] = {};
    const int64 stride = t.partial_stride * static_cast<int64>(sizeof(float));
    TileSums sums = t.add_to_partial ? TileSums{t.partial, stride, t.partial, stride} : TileSums{zeros, 0, t.partial, stride};
    const char* ahead = t.ahead ? t.ahead : reinterpret_cast<const char*>(t.w);
    for (int64 tap = 0; tap < t.taps; ++tap) {
        const float* x[6];
        DALLE2_UNROLL for (int i = 0; i < 6; ++i) x[i] = t.rows[i] + t.x_offset + tap * t.x_tap_stride;
        sum_steps(sums, x, t.w + tap * t.w_tap_stride, t.steps, ahead, t.ahead_stride);
        sums.from = sums.to;
        sums.from_stride = sums.to_stride;
    }
}

// The sums of a tile of weights: see weight_tile.
inline void sum_in_assembly(const WeightTile<float>& t) {
    constexpr int64 float_bytes = sizeof(float);
    alignas(64) static constexpr float zeros[16] = {};
    // Where fewer rows are wanted, none of the others may be written.
    alignas(64) float whole[6][16];
    const bool part = t.valid_rows < 6;
    TileSums sums{zeros, 0, part ? whole[0] : t.sums, (part ? 16 : t.sums_stride) * float_bytes};
    const auto copy = [&](const float* from, int64 from_stride, float* to, int64 to_stride) DALLE2_LAMBDA {
        for (int64 i = 0; i < t.valid_rows; ++i) std::memcpy(to + i * to_stride, from + i * from_stride, 16 * float_bytes);
    };
    if (t.add) {
        if (part) copy(t.sums, t.sums_stride, whole[0], 16);
        sums.from = sums.to;
        sums.from_stride = sums.to_stride;
    }
    for (int64 group = 0; group < t.groups; ++group) {
        sum_columns(sums, t.x + group * t.x_group_stride, t.dy + group * t.rows * t.columns * panel_width, t.rows, t.columns,
                    t.x_column_stride * float_bytes, (t.x_row_stride - t.columns * t.x_column_stride) * float_bytes);
        sums.from = sums.to;
        sums.from_stride = sums.to_stride;
    }
    if (part) copy(whole[0], 16, t.sums, t.sums_stride);
}

#undef DALLE2_ROW
#undef DALLE2_POINTER_ROWS
#undef DALLE2_NEIGHBOUR_ROWS
#undef DALLE2_WEIGHTS
#undef DALLE2_FIRST_WEIGHTS
#undef DALLE2_SECOND_WEIGHTS
#undef DALLE2_LOAD_SUMS
#undef DALLE2_STORE_SUMS
#undef DALLE2_ALL_SUMS
#undef DALLE2_EVERY_REGISTER
#undef DALLE2_SUM_STEPS
#undef DALLE2_FETCH
#undef DALLE2_NO_FETCH
