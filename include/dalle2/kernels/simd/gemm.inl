// Matrix products whose left rows are found through pointers. Included inside a namespace and a target region.

// What is left of a row from a vector on: at least the vector, or less for the last. (Known only as the program runs, so that
// a loop's body is compiled once.)
struct Left {
    int64 count;
};
template <class T>
DALLE2_INLINE vf load(const T* p, Left left) {
    if (left.count >= lanes) [[likely]]
        return load(p);
    return load(p, left.count);
}
template <class T>
DALLE2_INLINE void store(T* p, vf a, Left left) {
    if (left.count >= lanes) [[likely]]
        store(p, a);
    else
        store(p, a, left.count);
}

// See elementwise.inl.
template <class T>
void activate_rows(Activation kind, int64 rows, int64 n, int64 stride, T* y);

template <class T>
DALLE2_INLINE void clear(T* at, int64 count) {
    std::memset(static_cast<void*>(at), 0, static_cast<std::size_t>(count) * sizeof(T));
}

// turned[j][i] = square[i][j]
DALLE2_INLINE void turn_square(const float (&square)[16][16], float (&turned)[16][16]) {
    for (int row = 0; row < 16; row += lanes)
        for (int column = 0; column < 16; column += lanes) transpose(&square[row][column], &turned[column][row]);
}

// What x is when it meets weights of type T.
template <class T>
struct FactorOf {
    using type = T;
};
template <>
struct FactorOf<bfloat16> {
    using type = std::conditional_t<multiplies_bfloat16, bfloat16, float>;
};
template <>
struct FactorOf<std::int8_t> {
    using type = std::conditional_t<multiplies_bytes, std::uint8_t, std::int16_t>;
};
template <class T>
using Factor = typename FactorOf<T>::type;

// A step of a product takes pairs or fours of T. Where x is wider than the weights, it takes them in two parts.
template <class T, class X>
inline constexpr int parts_of_step = sizeof(X) > sizeof(T) ? 2 : 1;

// The same numbers, as what is multiplied.
template <class T>
DALLE2_INLINE void copy_factors(const T* from, int64 count, T* to) {
    std::memcpy(static_cast<void*>(to), from, static_cast<std::size_t>(count) * sizeof(T));
}
DALLE2_INLINE void copy_factors(const bfloat16* from, int64 count, float* to) {
    int64 i = 0;
    for (; i + lanes <= count; i += lanes) store(to + i, load(from + i));
    if (i < count) store(to + i, load(from + i, count - i), count - i);
}

// Sixteen outputs of one input, `stride` apart, those beyond `count` zero.
DALLE2_INLINE void gather_outputs(const float* from, int64 stride, int64 count, float* to) {
    if (count == panel_width) {
        for (int i = 0; i < 16; i += lanes) store(to + i, load_strided(from + i * stride, stride));
        return;
    }
    for (int64 i = 0; i < panel_width; ++i) to[i] = i < count ? from[i * stride] : 0.0f;
}

// What makes results of the sums of some columns, of which there are `left`.
template <class T>
struct ColumnTerms {
    vf bias;

    template <class Tile>
    DALLE2_INLINE ColumnTerms(const Tile& t, int column, Left left)
        : bias(t.bias == nullptr ? zero() : load(t.bias + column, left)) {}
    template <class Tile>
    DALLE2_INLINE vf result(const Tile&, int, vf sum) const {
        return sum + bias;
    }
};
// The bytes b of a row stand for scale·(b - zero), so Σ (b - zero)·w = Σ b·w - zero·Σ w.
template <>
struct ColumnTerms<std::int8_t> {
    vf bias, scale;
    vi sums;

    using Tile = GemmTile<std::int8_t, Factor<std::int8_t>>;
    DALLE2_INLINE ColumnTerms(const Tile& t, int column, Left left)
        : bias(t.bias == nullptr ? zero() : load(t.bias + column, left)),
          scale(load(t.column_scales + column)),
          sums(load(t.column_sums + column)) {}
    DALLE2_INLINE vf result(const Tile& t, int row, vi sum) const {
        const ByteRange& range = t.row_ranges[row];
        return fma(to_floats(minus_product(sum, sums, range.zero)), scale * set1(range.scale), bias);
    }
};

// Whether rows of y, `stride` apart, and pieces of `length` elements of them are whole lines of the caches.
template <class Y>
DALLE2_INLINE bool are_lines(const Y* y, int64 stride, int64 length) {
    constexpr int64 line = 64 / static_cast<int64>(sizeof(Y));
    return length % line == 0 && stride % line == 0 && reinterpret_cast<std::uintptr_t>(y) % 64 == 0;
}

// y of the rows and columns that are wanted, from the tile's sums. (Apart from gemm_tile, so that it is compiled once, not for
// each number of rows. Row by row, so that a line of y is whole before the next one may take its place in a cache.)
template <class T, class X, class Y>
DALLE2_APART void finish_tile(const GemmTile<T, X, Y>& t) {
    // (Kept here: the compiler has to think that a store of y changes t.)
    const GemmTile<T, X, Y> tile = t;
    const auto* sums = tile.partial;
    auto* to = tile.y;
    AddedRows<Y> added = tile.added;
    const auto finish_rows = [&](const auto& finish) DALLE2_LAMBDA {
        for (int row = 0; row < tile.valid_rows; ++row, sums += tile.partial_stride, to += tile.y_stride) {
            for (int column = 0; column < tile.columns; column += lanes) {
                const Left left = {tile.columns - column};
                const vf result = ColumnTerms<T>(tile, column, left).result(tile, row, load(sums + column));
                finish(to + column, added.at == nullptr ? result : result + load(added.at + column, left), left);
            }
            if (added.at != nullptr) added.advance();
        }
    };
    if constexpr (stores_past)
        if (tile.bypasses && are_lines(to, tile.y_stride, tile.columns))
            return finish_rows([](Y* y, vf result, Left) DALLE2_LAMBDA { store_past(y, result); });
    finish_rows([](Y* y, vf result, Left left) DALLE2_LAMBDA { store(y, result, left); });
    // (Of results as they are rounded, so that it is the same as an operation of its own; they are still in the nearest cache.)
    if (tile.activation != Activation::none) activate_rows(tile.activation, tile.valid_rows, tile.columns, tile.y_stride, tile.y);
}

#if DALLE2_HAVE_AMX
// The same for a tile of 32 pixels and 32 channels, whose moments it gathers. (They are of y before it is rounded.)
template <class T, class X, class Y>
DALLE2_APART void finish_measured_tile(const GemmTile<T, X, Y>& t) {
    static_assert(MomentPieces::channels == 2 * lanes);
    const GemmTile<T, X, Y> tile = t;
    const ColumnTerms<T> terms[2] = {{tile, 0, {lanes}}, {tile, lanes, {lanes}}};
    AddedRows<Y> added = tile.added;
    const auto result = [&](int row, int v) DALLE2_LAMBDA {
        const vf y = terms[v].result(tile, row, load(tile.partial + row * tile.partial_stride + v * lanes));
        return added.at == nullptr ? y : y + load(added.at + v * lanes);
    };
    MomentPieces& moments = *tile.moments;
    const bool begins = moments.pixels_so_far == 0, past = tile.bypasses && are_lines(tile.y, tile.y_stride, 2 * lanes);
    vf shift[2], sums[2], squares[2];
    DALLE2_UNROLL for (int v = 0; v < 2; ++v) {
        shift[v] = begins ? result(0, v) : load(moments.shift + v * lanes);
        sums[v] = begins ? zero() : load(moments.sums + v * lanes);
        squares[v] = begins ? zero() : load(moments.squares + v * lanes);
    }
    Y* to = tile.y;
    for (int row = 0; row < tile.valid_rows; ++row, to += tile.y_stride) {
        DALLE2_UNROLL for (int v = 0; v < 2; ++v) {
            const vf y = result(row, v), distance = y - shift[v];
            sums[v] = sums[v] + distance;
            squares[v] = fma(distance, distance, squares[v]);
            past ? store_past(to + v * lanes, y) : store(to + v * lanes, y);
        }
        if (added.at != nullptr) added.advance();
    }
    moments.pixels_so_far += tile.valid_rows;
    const bool whole = moments.pixels_so_far == MomentPieces::pixels;
    if (whole) moments.pixels_so_far = 0;
    const vf share = set1(1.0f / static_cast<float>(MomentPieces::pixels));
    DALLE2_UNROLL for (int v = 0; v < 2; ++v) {
        if (whole) {
            const vf mean = sums[v] * share;
            store(tile.piece + v * lanes, shift[v] + mean);
            store(tile.piece + tile.y_stride + v * lanes, squares[v] - mean * sums[v]);
        } else {
            store(moments.shift + v * lanes, shift[v]);
            store(moments.sums + v * lanes, sums[v]);
            store(moments.squares + v * lanes, squares[v]);
        }
    }
}
#endif

// The lines that finish_tile will write, fetched while the sums are made: where they are not in a cache, products of some
// hundred channels are up to a third faster.
template <class T, class X, class Y>
DALLE2_INLINE void fetch_results(const GemmTile<T, X, Y>& t) {
    for (int64 row = 0; row < t.valid_rows; ++row)
        for (int64 column = 0; column < t.columns; column += panel_width)
            __builtin_prefetch(t.y + row * t.y_stride + column, 1);
}

// As are those of what is added, which a tile reads before they are fetched for their neighbours' sake.
template <class Y>
DALLE2_INLINE void fetch_added(AddedRows<Y> added, int64 rows, int64 columns) {
    for (int64 row = 0; row < rows; ++row, added.advance())
        for (int64 column = 0; column < columns; column += 2 * panel_width) __builtin_prefetch(added.at + column);
}

// Whether products with weights of type T are summed by sum_steps.
template <class T>
inline constexpr bool in_assembly = sums_in_assembly && std::is_same_v<Factor<T>, float>;
// Whether products fetch what later ones need: up to a sixth faster where that comes from memory, and on AVX-512 a fourth.
template <class T>
inline constexpr bool fetches_ahead = in_assembly<T> || fetches_lines;
// (On AVX-512 only beside some calls: one or two do not hide what all the fetches cost.)
inline constexpr int64 least_calls = fetches_lines && !DALLE2_HAVE_AMX ? 3 : 1;
// The inputs between two fetches, and the bytes of a panel's weights.
template <class T>
inline constexpr int64 inputs_per_fetch = DALLE2_HAVE_AMX ? 16 * pair_size<T> : fetches_lines ? 64 : 4;
template <class T>
inline constexpr int64 bytes_per_fetch = inputs_per_fetch<T> * panel_width * static_cast<int64>(sizeof(T));

// So many bytes of each panel's weights that come next: see Ahead.
template <class T, int Panels>
DALLE2_INLINE void fetch_weights(const char* from, int64 bytes, int64 panel_stride) {
    for (int64 line = 0; line < bytes; line += 64)
        for (int panel = 0; panel < Panels; ++panel)
            __builtin_prefetch(from + line + panel * panel_stride * static_cast<int64>(sizeof(T)), 0, 2);
}

// The sums over taps and steps of x_m · w_n, for `Rows` rows and `Panels` panels of sixteen outputs.
template <class T, class X, class Y, int Rows, int Panels>
DALLE2_INLINE void sum_tile(const GemmTile<T, X, Y>& t) {
    static_assert(Rows <= most_tile_rows && Panels * panel_width <= most_tile_columns);
    constexpr int per_panel = 16 / lanes, vectors = Panels * per_panel;
    constexpr int step = static_cast<int>(pair_size<T>);
    using Sums = decltype(load(t.partial));
    Sums acc[Rows][vectors];
    if (t.add_to_partial) {
        DALLE2_UNROLL for (int i = 0; i < Rows; ++i)
            DALLE2_UNROLL for (int j = 0; j < vectors; ++j) acc[i][j] = load(t.partial + i * t.partial_stride + j * lanes);
    } else {
        DALLE2_UNROLL for (int i = 0; i < Rows; ++i)
            DALLE2_UNROLL for (int j = 0; j < vectors; ++j) acc[i][j] = Sums{};
    }
    [[maybe_unused]] const int64 ahead_stride = t.ahead != nullptr ? t.ahead_stride : 0;
    [[maybe_unused]] const char* ahead = t.ahead;
    for (int64 tap = 0; tap < t.taps; ++tap) {
        const X* x[Rows];
        DALLE2_UNROLL for (int i = 0; i < Rows; ++i) x[i] = t.rows[i] + t.x_offset + tap * t.x_tap_stride;
        const T* w[Panels];
        DALLE2_UNROLL for (int j = 0; j < Panels; ++j) w[j] = t.w + j * t.panel_stride + tap * t.w_tap_stride;
        // (In two parts, one after the other in a loop that is not unrolled: there are no registers for both.)
        constexpr int parts = parts_of_step<T, X>;
        const auto multiply = [&](int64 k) DALLE2_LAMBDA {
            const auto weights = [&](int j) DALLE2_LAMBDA {
                const T* from = w[j / per_panel] + (k / parts * 16 + j % per_panel * lanes) * step;
                if constexpr (parts == 1)
                    return load_weights(from);
                else
                    return load_weights(from, k % parts);
            };
            decltype(weights(0)) b[vectors];
            DALLE2_UNROLL for (int j = 0; j < vectors; ++j) b[j] = weights(j);
            DALLE2_UNROLL for (int i = 0; i < Rows; ++i) {
                const auto a = broadcast_step(x[i] + k * (step / parts));
                DALLE2_UNROLL for (int j = 0; j < vectors; ++j) acc[i][j] = multiply_add(acc[i][j], a, b[j]);
            }
        };
        if constexpr (fetches_lines && parts == 1) {
            constexpr int64 between = inputs_per_fetch<T> / step;
            for (int64 k = 0; k < t.steps; ahead += ahead_stride) {
                fetch_weights<T, Panels>(ahead, ahead_stride, t.panel_stride);
                for (const int64 end = std::min(t.steps, k + between); k < end; ++k) multiply(k);
            }
        } else {
            for (int64 k = 0; k < t.steps * parts; ++k) multiply(k);
        }
    }
    DALLE2_UNROLL for (int i = 0; i < Rows; ++i)
        DALLE2_UNROLL for (int j = 0; j < vectors; ++j) store(t.partial + i * t.partial_stride + j * lanes, acc[i][j]);
}

// These sums; then y[m][n].
template <class T, class X, class Y, int Rows, int Panels>
void gemm_tile(const GemmTile<T, X, Y>& t) {
    if (t.y != nullptr) fetch_results(t);
    if constexpr (in_assembly<T> && std::is_same_v<X, float>)
        sum_in_assembly(t);
    else
        sum_tile<T, X, Y, Rows, Panels>(t);
    if (t.y != nullptr) finish_tile(t);
}

#if DALLE2_HAVE_AMX
#include <dalle2/kernels/simd/tiles_amx.inl>
#else
// What a task needs to be ready for products: here nothing.
struct MatrixUnit {
    MatrixUnit() {}
};
#endif

// The kernel that takes n panels at once, n ≤ max_panels.
template <class T, class X, class Y = typename Product<T>::Value>
DALLE2_INLINE auto gemm_tile_of(int64 panels) -> void (*)(const GemmTile<T, X, Y>&) {
#if DALLE2_HAVE_AMX
    return panels == 2 ? gemm_tiles<T, X, Y, 2> : gemm_tiles<T, X, Y, 1>;
#else
    if constexpr (max_panels >= 4) {
        if (panels == 4) return gemm_tile<T, X, Y, rows_of_panels[4], 4>;
        if (panels == 3) return gemm_tile<T, X, Y, rows_of_panels[3], 3>;
        if (panels == 2) return gemm_tile<T, X, Y, rows_of_panels[2], 2>;
    }
    return gemm_tile<T, X, Y, rows_of_panels[1], 1>;
#endif
}

// The most panels to take at once for so many rows: three instead of four, where the rows fit those kernels better by more
// than they are slower.
DALLE2_INLINE int64 most_panels(int64 rows) {
    if constexpr (max_panels < 4) return max_panels;
    const auto padded = [&](int64 panels) DALLE2_LAMBDA {
        return (rows + rows_of_panels[panels] - 1) / rows_of_panels[panels] * rows_of_panels[panels];
    };
    return 33 * padded(3) < 32 * padded(4) ? 3 : 4;
}

// How many of the panels that are left the next kernel takes: never 4 + 1 where 3 + 2 will do.
DALLE2_INLINE int64 next_panels(int64 left, int64 most) {
    if (left <= most) return left;
    return left == most + 1 && most > 2 ? most - 1 : most;
}

// A block of output pixels: see ConvPlan.
struct ConvBlock {
    int64 first_picture, pictures, first_row, out_rows, first_column, out_columns, pixels;

    template <class T>
    ConvBlock(const ConvPlan<T>& plan, int64 block)
        : first_picture(block / (plan.strips * plan.strips_across) * plan.pictures_per_block),
          pictures(std::min(plan.pictures_per_block, plan.batch - first_picture)),
          first_row(block / plan.strips_across % plan.strips * plan.rows_per_strip),
          out_rows(std::min(plan.rows_per_strip, plan.out_height - first_row)),
          first_column(block % plan.strips_across * plan.columns_per_strip),
          out_columns(std::min(plan.columns_per_strip, plan.out_width - first_column)),
          pixels(pictures * out_rows * out_columns) {}

    // Where in the moments of all pieces the means of that of one of the block's pixels begin.
    template <class T>
    int64 piece_at(const ConvPlan<T>& plan, int64 pixel) const {
        const int64 across = plan.out_width / MomentPieces::columns;
        const int64 row = (first_row + pixel / out_columns) / MomentPieces::rows;
        return ((first_picture * plan.pieces() + row * across) + first_column / MomentPieces::columns) * 2 * plan.out_channels;
    }

    // Where in y the block's results for one of its pixels begin. (Pixels of pictures that are not cut lie beside each other.)
    template <class T>
    int64 result_at(const ConvPlan<T>& plan, int64 pixel) const {
        const int64 row = first_picture * plan.out_height + first_row + pixel / out_columns;
        return (row * plan.out_width + first_column + pixel % out_columns) * plan.out_channels;
    }
};

// Where in a task's scratch its parts are.
template <class T>
struct ConvScratch {
    const Factor<T>** rows;  // where the window of each pixel begins
    ByteRange* ranges;
    typename Product<T>::Sum* partial;
    Factor<T>* copy;

    ConvScratch(const ConvPlan<T>& plan, char* at)
        : rows(reinterpret_cast<const Factor<T>**>(at)),
          ranges(reinterpret_cast<ByteRange*>(at + plan.ranges_at)),
          partial(reinterpret_cast<typename Product<T>::Sum*>(at + plan.partial_at)),
          copy(reinterpret_cast<Factor<T>*>(at + plan.copy_at)) {}
};

// Fills the rows, with what may be read beyond the last, and what they need of the copy, for a pass over a column of the kernel
// or for all. Returns how far the rows of a window are apart.
template <class T>
int64 find_windows(const ConvPlan<T>& plan, const ConvBlock& block, int64 kernel_column, const ConvScratch<T>& s) {
    using X = Factor<T>;
    int64 row_stride = plan.width * plan.channels, picture_stride = plan.height * row_stride;
    const X* source;
    if (plan.copied) {
        const int64 in_rows = (block.out_rows - 1) * plan.stride + plan.kernel_height;
        const int64 in_columns = plan.columns_read(block.out_columns);
        const int64 top = block.first_row * plan.stride - plan.pad_y;
        const int64 left = block.first_column * plan.stride - plan.pad_x + kernel_column;
        if constexpr (std::is_same_v<T, std::int8_t>) {
            copy_as_bytes(plan, block.first_picture, block.pictures, top, in_rows, left, in_columns, block.pixels, s.copy,
                          s.ranges);
        } else if (plan.pixel_stride != plan.channels) {
            const T* from = plan.x + (block.first_picture * plan.height + block.first_row) * row_stride;
            for (int64 i = 0; i < block.pixels; ++i)
                copy_factors(from + i * plan.channels, plan.channels, s.copy + i * plan.pixel_stride);
        } else {
            copy_padded(
                plan, block.first_picture, block.pictures, top, in_rows, left, in_columns, s.copy,
                [](int64, const T* from, int64 count, X* to) { copy_factors(from, count, to); },
                [](int64, X* to, int64 count) { clear(to, count); });
        }
        source = s.copy;
        row_stride = in_columns * plan.pixel_stride;
        picture_stride = in_rows * row_stride;
    } else if constexpr (std::is_same_v<X, typename Product<T>::Value>) {
        source = plan.x + (block.first_picture * plan.height + block.first_row * plan.stride) * row_stride +
                 block.first_column * plan.stride * plan.channels;
    }
    const X** row = s.rows;
    for (int64 b = 0; b < block.pictures; ++b)
        for (int64 y = 0; y < block.out_rows; ++y) {
            const X* from = source + b * picture_stride + y * plan.stride * row_stride;
            for (int64 x = 0; x < block.out_columns; ++x) *row++ = from + x * plan.stride * plan.pixel_stride;
        }
    std::fill_n(row, ConvPlan<T>::most_rows, row[-1]);
    return row_stride;
}

// What the calls of a micro-kernel fetch meanwhile: each of `calls` its part of the weights that come next.
struct Ahead {
    const char* at = nullptr;  // null: nothing
    int64 stride = 0, of_call = 0;

    Ahead() = default;
    template <class T>
    Ahead(const T* next, int64 taps, int64 steps, int64 calls) : at(reinterpret_cast<const char*>(next)) {
        constexpr int64 unit = fetches_lines ? 64 : 1;
        stride = ((bytes_per_fetch<T> + calls - 1) / calls + unit - 1) / unit * unit;
        const int64 bytes = taps * steps * pair_size<T> * panel_width * static_cast<int64>(sizeof(T));
        of_call = bytes / bytes_per_fetch<T> * stride;
    }
    template <class Tile>
    DALLE2_INLINE void give(Tile& t, int64 call) const {
        t.ahead = at == nullptr ? nullptr : at + call * of_call;
        t.ahead_stride = stride;
    }
};

// One block of output pixels, one group of panels: see ConvPlan.
template <class T>
void conv_task(const ConvPlan<T>& plan, int64 task, char* scratch) {
    using X = Factor<T>;
    const ConvBlock block(plan, task / plan.groups);
    const ConvScratch<T> s(plan, scratch);
    const MatrixUnit ready;
    const int64 pixels = block.pixels, row_stride = find_windows(plan, block, 0, s);

    constexpr int64 step = pair_size<T>;
    GemmTile<T, X> t{};
    t.x_tap_stride = row_stride;
    t.w_tap_stride = plan.run * panel_width;
    t.panel_stride = plan.panel_stride;
    t.y_stride = plan.out_channels;
    t.activation = plan.activation;
    t.bypasses = plan.bypasses;
    const int64 first_panel = task % plan.groups * plan.panels_per_group;
    const int64 end = std::min(plan.panels, first_panel + plan.panels_per_group);
    const auto weights_at = [&](int64 panel, int64 tap, int64 k) DALLE2_LAMBDA {
        return plan.w + panel * plan.panel_stride + tap * t.w_tap_stride + k * panel_width;
    };
    const int64 pixels_of_picture = block.out_rows * block.out_columns;
    const auto added_to = [&](int64 pixel, int64 column) DALLE2_LAMBDA {
        using Value = typename Product<T>::Value;
        if (plan.added.data == nullptr) return AddedRows<Value>{};
        if (!plan.added.per_picture)
            return AddedRows<Value>{plan.added.data + block.result_at(plan, pixel) + column, plan.out_channels, 1, 1};
        const int64 picture = block.first_picture + pixel / pixels_of_picture;
        return AddedRows<Value>{plan.added.data + picture * plan.out_channels + column, plan.out_channels,
                                pixels_of_picture - pixel % pixels_of_picture, pixels_of_picture};
    };
    // Where a matrix unit multiplies, vectors make results of one tile's sums while it makes those of the next.
    constexpr bool finishes_later = DALLE2_HAVE_AMX;
    GemmTile<T, X> before{};
    const auto finish_before = [&] {
        if (before.y == nullptr) return;
#if DALLE2_HAVE_AMX
        if (before.moments != nullptr)
            finish_measured_tile(before);
        else
#endif
            finish_tile(before);
        before.y = nullptr;
    };
    MomentPieces moments;
    if (plan.piece_moments != nullptr) t.moments = &moments;
    int64 turn = 0;
    for (int64 pass = 0; pass < plan.run; pass += plan.run_per_pass) {
        const int64 pass_end = std::min(plan.run, pass + plan.run_per_pass);
        const int64 first_of_copy = plan.by_kernel_columns ? pass : 0;
        if (first_of_copy > 0) find_windows(plan, block, pass / plan.channels, s);
        for (int64 panel = first_panel, count; panel < end; panel += count) {
            count = next_panels(end - panel, most_panels(pixels));
            const int64 column = panel * panel_width, tile_rows = rows_of_panels[count];
            const auto kernel = gemm_tile_of<T, X>(count);
            t.columns = std::min(plan.out_channels - column, count * panel_width);
            t.bias = plan.bias ? plan.bias + column : nullptr;
            if constexpr (std::is_same_v<T, std::int8_t>) {
                t.column_scales = plan.column_scales + column;
                t.column_sums = plan.column_sums + column;
            }
            t.partial_stride = count * panel_width;
            const int64 sums_per_column = plan.in_passes() ? pixels + ConvPlan<T>::most_rows : 0;
            auto* const sums = s.partial + (panel - first_panel) * panel_width * sums_per_column;
            for (int64 tap = 0; tap < plan.kernel_height; tap += plan.taps_per_chunk)
                for (int64 k = pass; k < pass_end; k += plan.run_per_chunk) {
                    t.taps = std::min(plan.taps_per_chunk, plan.kernel_height - tap);
                    t.steps = std::min(plan.run_per_chunk, pass_end - k) / step;
                    t.x_offset = tap * row_stride + k - first_of_copy;
                    t.w = weights_at(panel, tap, k);
                    t.add_to_partial = tap > 0 || k > 0;
                    const bool last = tap + t.taps == plan.kernel_height && k + t.steps * step == plan.run;
                    // Fetched meanwhile are the weights that come next; with the first panel the next tile's rows, which a
                    // linear layer has not read before.
                    Ahead weights;
                    const int64 calls = (pixels + tile_rows - 1) / tile_rows;
                    if (fetches_ahead<T> && calls >= least_calls) {
                        const T* next = nullptr;
                        if (k + plan.run_per_chunk < pass_end)
                            next = weights_at(panel, tap, k + plan.run_per_chunk);
                        else if (tap + plan.taps_per_chunk < plan.kernel_height)
                            next = weights_at(panel, tap + plan.taps_per_chunk, pass);
                        else if (panel + count < end)
                            next = weights_at(panel + count, 0, pass);
                        weights = Ahead(next, t.taps, t.steps, calls);
                    }
                    const bool fetches_rows = in_assembly<T> && !plan.copied && panel == first_panel &&
                                              plan.kernel_height == 1 && plan.run == plan.channels &&
                                              plan.run <= plan.run_per_chunk;
                    for (int64 m = 0; m < pixels; m += tile_rows) {
                        t.rows = s.rows + m;
                        t.row_ranges = s.ranges + m;
                        t.valid_rows = std::min(tile_rows, pixels - m);
                        t.partial =
                            sums + (plan.chunked() ? m * t.partial_stride : turn * most_tile_rows * most_tile_columns);
                        auto* const results = last ? plan.y + block.result_at(plan, m) + column : nullptr;
                        if (last) {
                            t.added = added_to(m, column);
                            if (t.added.at != nullptr) fetch_added(t.added, t.valid_rows, t.columns);
                            if (t.moments != nullptr) t.piece = plan.piece_moments + block.piece_at(plan, m) + column;
                        }
                        t.y = finishes_later ? nullptr : results;
                        weights.give(t, m / tile_rows);
                        if (fetches_rows && m + tile_rows < pixels) {
                            t.ahead = reinterpret_cast<const char*>(t.rows[tile_rows] + t.x_offset);
                            t.ahead_stride = tile_rows * static_cast<int64>(sizeof(X)) * inputs_per_fetch<T>;
                        }
                        kernel(t);
                        if constexpr (finishes_later) {
                            finish_before();
                            before = t;
                            before.y = results;
                            turn = 1 - turn;
                        }
                    }
                }
            if (plan.chunked()) finish_before();  // the sums of the next panels take their place
        }
    }
    finish_before();
    if constexpr (stores_past)
        if (plan.bypasses) fence_past();
}
