// Matrix products by Intel's AMX, whose registers are tiles of sixteen rows of 64 bytes: sixteen rows of x, or what sixteen
// outputs have in the packed order for the same 64 bytes, or sixteen by sixteen sums. Included inside a namespace and a
// target region. (The numbers of tiles are part of an instruction, so they are written out: 0 to 3 are sums, 4 and 5 rows,
// 6 and 7 weights.)

// While it lives, this thread may use tiles.
struct MatrixUnit {
    MatrixUnit() { _tile_loadconfig(&whole_tiles); }
    ~MatrixUnit() { _tile_release(); }
    MatrixUnit(const MatrixUnit&) = delete;
    MatrixUnit& operator=(const MatrixUnit&) = delete;
};

#define DALLE2_MULTIPLY_TILES(sums, x, w)         \
    do {                                          \
        if constexpr (std::is_same_v<T, bfloat16>) \
            _tile_dpbf16ps(sums, x, w);           \
        else                                      \
            _tile_dpbusd(sums, x, w);             \
    } while (false)

#define DALLE2_LOAD_ROWS(tile, at, distance)        \
    do {                                            \
        if (passing)                                \
            _tile_stream_loadd(tile, at, distance); \
        else                                        \
            _tile_loadd(tile, at, distance);        \
    } while (false)

// Sixteen rows of x, 64 bytes of each at a time: found by their distance, or, where that differs, through a copy.
template <class X>
struct TileRows {
    const X* const* rows;
    const X* first;
    int64 stride;  // in bytes; 0: it differs

    explicit TileRows(const X* const* at_rows) : rows(at_rows), first(at_rows[0]), stride(distance_of(0)) {
        for (int i = 1; i < 15; ++i)
            if (distance_of(i) != stride) stride = 0;
    }
    // From a row to the next.
    DALLE2_INLINE int64 distance_of(int row) const { return (rows[row + 1] - rows[row]) * static_cast<int64>(sizeof(X)); }
    // Where a tile is loaded from, and how far its rows are apart there. `copy` has room for it.
    DALLE2_INLINE const void* at(int64 offset, std::byte (&copy)[16][64]) const {
        if (stride != 0) [[likely]]
            return first + offset;
        // (The compiler does not know that an instruction on tiles reads memory: that of the copy before this one, and of this.)
        asm volatile("" ::: "memory");
        for (int i = 0; i < 16; ++i) _mm512_store_si512(copy[i], _mm512_loadu_si512(rows[i] + offset));
        asm volatile("" ::: "memory");
        return copy;
    }
    DALLE2_INLINE int64 distance() const { return stride != 0 ? stride : 64; }
};

// The tiles of sums: one, or with those below (2), to the right (1) or both (and 3). They begin with what is in memory, or with
// zeros, and go back to it; from a row to the next are `stride` bytes. (Compilers do not know that instructions on tiles read
// and write memory: whatever others have stored must be there before, and what these store is new to all after.)
template <bool Below, bool Right, class Sum>
DALLE2_INLINE void begin_sums(const Sum* sums, int64 stride, bool from_memory) {
    asm volatile("" ::: "memory");
    if (from_memory) {
        [[maybe_unused]] const char* below = reinterpret_cast<const char*>(sums) + 16 * stride;
        _tile_loadd(0, sums, stride);
        if constexpr (Right) _tile_loadd(1, sums + 16, stride);
        if constexpr (Below) _tile_loadd(2, below, stride);
        if constexpr (Below && Right) _tile_loadd(3, below + 64, stride);
    } else {
        _tile_zero(0);
        if constexpr (Right) _tile_zero(1);
        if constexpr (Below) _tile_zero(2);
        if constexpr (Below && Right) _tile_zero(3);
    }
}
template <bool Below, bool Right, class Sum>
DALLE2_INLINE void end_sums(Sum* sums, int64 stride) {
    [[maybe_unused]] char* below = reinterpret_cast<char*>(sums) + 16 * stride;
    _tile_stored(0, sums, stride);
    if constexpr (Right) _tile_stored(1, sums + 16, stride);
    if constexpr (Below) _tile_stored(2, below, stride);
    if constexpr (Below && Right) _tile_stored(3, below + 64, stride);
    asm volatile("" ::: "memory");
}

// The sums of the first `steps` steps of each tap, a multiple of sixteen: of sixteen rows, or of 32, and one panel, or two.
// A tile of weights meets many rows, one after the other, and stays in the first-level cache: ConvPlan's chunks are as long as
// fits. Rows come from the second level and must not take its place, so they are loaded as what will not be needed again; but
// where there are several taps, they will.
template <int Panels, bool Second, class T, class X, class Y>
DALLE2_APART void multiply_tiles(const GemmTile<T, X, Y>& t, int64 steps) {
    constexpr int64 step = pair_size<T>, tile_weights = 16 * 16 * step;
    const int64 sums_stride = t.partial_stride * static_cast<int64>(sizeof *t.partial);
    begin_sums<Second, Panels == 2>(t.partial, sums_stride, t.add_to_partial);
    const TileRows<X> first_rows(t.rows), second_rows(t.rows + (Second ? 16 : 0));
    alignas(64) std::byte first_copy[16][64], second_copy[16][64];
    const int64 panel_stride = t.panel_stride, ahead_stride = t.ahead != nullptr ? t.ahead_stride : 0;
    const char* ahead = t.ahead;
    const bool passing = t.taps == 1;
    for (int64 tap = 0; tap < t.taps; ++tap) {
        int64 offset = t.x_offset + tap * t.x_tap_stride;
        const T* w = t.w + tap * t.w_tap_stride;
        for (int64 k = 0; k < steps; k += 16, offset += 16 * step, w += tile_weights) {
            DALLE2_LOAD_ROWS(4, first_rows.at(offset, first_copy), first_rows.distance());
            _tile_loadd(6, w, 64);
            DALLE2_MULTIPLY_TILES(0, 4, 6);
            if constexpr (Panels == 2) {
                _tile_loadd(7, w + panel_stride, 64);
                DALLE2_MULTIPLY_TILES(1, 4, 7);
            }
            if constexpr (Second) {
                DALLE2_LOAD_ROWS(5, second_rows.at(offset, second_copy), second_rows.distance());
                DALLE2_MULTIPLY_TILES(2, 5, 6);
                if constexpr (Panels == 2) DALLE2_MULTIPLY_TILES(3, 5, 7);
            }
            fetch_weights<T, Panels>(ahead, ahead_stride, panel_stride);
            ahead += ahead_stride;
        }
    }
    end_sums<Second, Panels == 2>(t.partial, sums_stride);
}

#undef DALLE2_LOAD_ROWS
#undef DALLE2_MULTIPLY_TILES

// As gemm_tile, for 32 rows: whole tiles here, the rest of each tap on vectors.
template <class T, class X, class Y, int Panels>
void gemm_tiles(const GemmTile<T, X, Y>& t) {
    constexpr int rows_at_once = 8;
    static_assert(most_tile_rows >= 32 && 32 % rows_at_once == 0);
    const int64 whole = t.steps / 16 * 16;
    if (whole > 0) {
        if (t.valid_rows > 16)
            multiply_tiles<Panels, true>(t, whole);
        else
            multiply_tiles<Panels, false>(t, whole);
    }
    if (whole < t.steps) {
        GemmTile<T, X, Y> rest = t;
        rest.y = nullptr;
        rest.ahead = nullptr;
        rest.steps = t.steps - whole;
        rest.x_offset += whole * pair_size<T>;
        rest.w += whole * pair_size<T> * panel_width;
        rest.add_to_partial = t.add_to_partial || whole > 0;
        for (int64 row = 0; row < t.valid_rows; row += rows_at_once) {
            rest.rows = t.rows + row;
            rest.partial = t.partial + row * t.partial_stride;
            gemm_tile<T, X, Y, rows_at_once, Panels>(rest);
        }
    }
    if (t.y != nullptr) finish_tile(t);
}
