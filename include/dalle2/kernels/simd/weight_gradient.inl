// Gradients of weights: products summed over pixels. Included inside a namespace and a target region.

template <class T, int Rows, int Panels>
void weight_tile(const WeightTile<T>& t) {
    if constexpr (sums_in_assembly) return sum_in_assembly(t);
    constexpr int per_panel = 16 / lanes, vectors = Panels * per_panel;
    constexpr int step = static_cast<int>(pair_size<T>);
    vf acc[Rows][vectors];
    DALLE2_UNROLL for (int i = 0; i < Rows; ++i)
        DALLE2_UNROLL for (int j = 0; j < vectors; ++j)
            acc[i][j] = t.add && i < t.valid_rows ? load(t.sums + i * t.sums_stride + j * lanes) : zero();
    const T* dy = t.dy;
    for (int64 group = 0; group < t.groups; ++group)
        for (int64 row = 0; row < t.rows; ++row) {
            const T* x = t.x + group * t.x_group_stride + row * t.x_row_stride;
            for (int64 column = 0; column < t.columns; ++column) {
                decltype(load_weights(dy)) b[vectors];
                DALLE2_UNROLL for (int j = 0; j < vectors; ++j)
                    b[j] = load_weights(dy + j / per_panel * t.dy_panel_stride + j % per_panel * lanes * step);
                DALLE2_UNROLL for (int i = 0; i < Rows; ++i) {
                    const auto a = broadcast_step(x + i * step);
                    DALLE2_UNROLL for (int j = 0; j < vectors; ++j) acc[i][j] = multiply_add(acc[i][j], a, b[j]);
                }
                x += t.x_column_stride;
                dy += 16 * step;
            }
        }
    DALLE2_UNROLL for (int i = 0; i < Rows; ++i) {
        if (i >= t.valid_rows) break;
        DALLE2_UNROLL for (int j = 0; j < vectors; ++j) store(t.sums + i * t.sums_stride + j * lanes, acc[i][j]);
    }
}

template <class T>
using WeightTileFunction = void (*)(const WeightTile<T>&);

template <class T>
struct WeightKernel {
    WeightTileFunction<T> run;
    int64 rows;
};

// The kernel that takes n panels at once, n ≤ max_panels, for so many rows in all, which may stand in blocks.
template <class T>
DALLE2_INLINE WeightKernel<T> weight_kernel_of(int64 panels, int64 rows, bool in_blocks = false) {
    if constexpr (max_panels >= 4) {
        if constexpr (channels_together > 0) {
            constexpr int block = static_cast<int>(channels_together);  // the rows of four panels, too
            if (in_blocks && panels == 3) return {weight_tile<T, block, 3>, block};
            if (in_blocks && panels == 2) return {weight_tile<T, block, 2>, block};
            if (in_blocks && panels == 1) return {weight_tile<T, block, 1>, block};
        }
        if (panels == 4) return {weight_tile<T, rows_of_panels[4], 4>, rows_of_panels[4]};
        if (panels == 3) return {weight_tile<T, rows_of_panels[3], 3>, rows_of_panels[3]};
        if (panels == 2 && rows % 12 != 0 && rows % 8 == 0) return {weight_tile<T, 8, 2>, 8};
        if (panels == 2) return {weight_tile<T, rows_of_panels[2], 2>, rows_of_panels[2]};
    }
    return {weight_tile<T, rows_of_panels[1], 1>, rows_of_panels[1]};
}

// to[i] = a[i], or for bfloat16 the pairs of a[i] and b[i].
DALLE2_INLINE void pack_pairs(const float* a, const float*, int64 count, float* to) {
    std::memcpy(to, a, static_cast<std::size_t>(count) * sizeof(float));
}
DALLE2_INLINE void pack_pairs(const bfloat16* a, const bfloat16*, int64 count, float* to) { copy_factors(a, count, to); }
DALLE2_INLINE void pack_pairs(const bfloat16* a, const bfloat16* b, int64 count, bfloat16* to) {
    int64 i = 0;
    for (; i + 16 <= count; i += 16) interleave(a + i, b + i, to + 2 * i);
    for (; i < count; ++i) {
        to[2 * i] = a[i];
        to[2 * i + 1] = b[i];
    }
}

#if DALLE2_HAVE_AMX
#include <dalle2/kernels/simd/weight_tiles_amx.inl>
#else

// Columns of dy that are packed together, and how: see WeightPlan.
inline constexpr int64 columns_at_once = 1;
template <class F, std::size_t n>
DALLE2_INLINE void put_columns(const F (&columns)[1][n], F* to) {
    std::memcpy(static_cast<void*>(to), columns[0], sizeof columns[0]);
}

// dbias += Σ dy over all pixels, for one panel.
template <class T>
DALLE2_INLINE void add_bias_gradient(const WeightPlan<T>& p, int64 panel) {
    using F = Factor<T>;
    constexpr int64 pair = pair_size<F>;
    const int64 pixels = p.groups * p.group_pixels();
    alignas(64) F ones[16 * pair];
    for (F& one : ones) one = F(1.0f);
    const auto one = load_weights(static_cast<const F*>(ones));
    alignas(64) float sums[16];
    for (int64 column = 0; column < panel_width; column += lanes) {
        const F* from = static_cast<const F*>(p.packed_dy) + (panel * pixels * panel_width + column) * pair;
        vf total = zero();
        for (int64 pixel = 0; pixel < pixels; ++pixel)
            total = multiply_add(total, one, load_weights(from + pixel * panel_width * pair));
        store(sums + column, total);
    }
    const int64 first = panel * panel_width, count = std::min(panel_width, p.out_channels - first);
    for (int64 o = 0; o < count; ++o) p.dbias[first + o] += sums[o];
}

// dw = or, if p.add, += sums [kernel row][kernel column][channel][stride] of one panel, for some kernel rows and channels.
template <class T>
DALLE2_INLINE void add_to_weights(const WeightPlan<T>& p, const float* sums, int64 stride, int64 panel, int64 first_row,
                                  int64 kernel_rows, int64 first_channel, int64 channels) {
    const int64 taps = p.kernel_height * p.kernel_width, some = kernel_rows * p.kernel_width;
    const int64 first_out = panel * panel_width, count = std::min(panel_width, p.out_channels - first_out);
    const int64 tap_stride = p.channels_per_task * stride;
    constexpr int64 block = 16;  // weights of one output that are neighbours, as far as `some` is all taps
    alignas(64) float tile[block][16];
    int64 offsets[block];
    int64 channel = 0, tap = 0;
    for (int64 done = 0; done < channels * some; done += block) {
        const int64 size = std::min(block, channels * some - done);
        for (int64 i = 0; i < size; ++i) {
            const float* from = sums + tap * tap_stride + channel * stride;
            for (int v = 0; v < 16; v += lanes) store(&tile[i][v], load(from + v));
            offsets[i] = (first_channel + channel) * taps + first_row * p.kernel_width + tap;
            if (++tap == some) {
                tap = 0;
                ++channel;
            }
        }
        if (size == block && offsets[block - 1] - offsets[0] == block - 1) {
            alignas(64) float turned[16][block];
            turn_square(tile, turned);
            for (int64 o = 0; o < count; ++o) {
                float* to = p.dw + (first_out + o) * p.channels * taps + offsets[0];
                for (int v = 0; v < 16; v += lanes) {
                    const vf found = load(turned[o] + v);
                    store(to + v, p.add ? load(to + v) + found : found);
                }
            }
            continue;
        }
        for (int64 o = 0; o < count; ++o) {
            float* to = p.dw + (first_out + o) * p.channels * taps;
            for (int64 i = 0; i < size; ++i) to[offsets[i]] = (p.add ? to[offsets[i]] : 0.0f) + tile[i][o];
        }
    }
}

// Computes some weights' gradients whole, from all packed pixels: see WeightPlan.
template <class T>
void weight_multiply_task(const WeightPlan<T>& p, int64 task, float* sums) {
    using F = Factor<T>;
    constexpr int64 pair = pair_size<F>;
    const int64 part = task % p.parts, quad = task / p.parts % p.quads();
    const int64 first_row = task / p.parts / p.quads() * p.kernel_rows_per_task;
    const int64 first_channel = part * p.channels_per_task;
    const int64 channels = std::min(p.channels_per_task, p.channels - first_channel);
    const int64 first_panel = quad * p.panels_per_task, end = std::min(p.panels, first_panel + p.panels_per_task);
    WeightTile<F> t{};
    t.rows = p.strip_rows;
    t.columns = p.out_width;
    t.x_group_stride = p.x_group();
    t.x_row_stride = p.x_row() * p.stride;
    t.x_column_stride = p.x_column() * p.stride;
    t.dy_panel_stride = p.groups * p.group_pixels() * panel_width * pair;
    t.sums_stride = (end - first_panel) * panel_width;
    for (int64 group = 0; group < p.groups; group += p.groups_per_chunk) {
        t.groups = std::min(p.groups_per_chunk, p.groups - group);
        t.add = group > 0;
        for (int64 panel = first_panel; panel < end;) {
            const int64 count = std::min<int64>(max_panels, end - panel);
            const WeightKernel<F> kernel = weight_kernel_of<F>(count, channels, p.channels_together != p.channels);
            t.dy = static_cast<const F*>(p.packed_dy) + panel * t.dy_panel_stride + group * p.group_pixels() * panel_width * pair;
            for (int64 tap = 0; tap < p.kernel_rows_per_task * p.kernel_width; ++tap) {
                const int64 ky = first_row + tap / p.kernel_width, kx = tap % p.kernel_width;
                const F* x = static_cast<const F*>(p.packed_x) + group * p.x_group() + ky * p.x_row() +
                             kx * p.x_column();
                float* to = sums + tap * p.channels_per_task * t.sums_stride + (panel - first_panel) * panel_width;
                for (int64 channel = 0; channel < channels; channel += kernel.rows) {
                    t.x = x + p.x_channel(first_channel + channel);
                    t.sums = to + channel * t.sums_stride;
                    t.valid_rows = std::min(kernel.rows, channels - channel);
                    kernel.run(t);
                }
            }
            panel += count;
        }
    }
    for (int64 panel = first_panel; panel < end; ++panel) {
        add_to_weights(p, sums + (panel - first_panel) * panel_width, t.sums_stride, panel, first_row,
                       p.kernel_rows_per_task, first_channel, channels);
        if (p.dbias && part == 0 && first_row == 0) add_bias_gradient(p, panel);
    }
}

#endif

// One row of x, in blocks of the channels that stand together, at most a vector and no more than there are. Beyond the last
// channel no row that is wanted meets what stands there.
template <class T, class F>
DALLE2_INLINE void pack_blocks(const WeightPlan<T>& p, const T* from, int64 columns, F* to) {
    const int64 width = p.channels_together, blocks = p.channel_blocks(), stride = p.x_block();
    const int64 left = std::min(p.in_columns, p.padding) * width, packed = left + columns * width;
    F* at = to + left;
    if constexpr (lanes > 2 * channels_together) {  // a vector would reach beyond the next pixel
        const int64 whole = p.channels / width, last = p.channels % width;
        for (int64 column = 0; column < columns; ++column, from += p.channels, at += width) {
            for (int64 block = 0; block < whole; ++block) store(at + block * stride, load(from + block * width, width), width);
            if (last > 0) store(at + whole * stride, load(from + whole * width, last), width);
        }
        for (int64 block = 0; block < blocks; ++block) {
            clear(to + block * stride, left);
            clear(to + block * stride + packed, stride - packed);
        }
        return;
    }
    // What a vector reads and writes besides is the next pixel's, where it is overwritten.
    for (int64 column = 0; column + 1 < columns; ++column, from += p.channels, at += width)
        for (int64 block = 0; block < blocks; ++block) store(at + block * stride, load(from + block * width));
    for (int64 block = 0; block < blocks; ++block) {
        F* row = to + block * stride;
        clear(row, left);
        clear(row + packed - width, stride - packed + width);
        copy_factors(from + block * width, std::min(width, p.channels - block * width), row + packed - width);
    }
}

// Packs one row of one group: of x, or of dy.
template <class T>
void weight_pack_task(const WeightPlan<T>& p, int64 task) {
    using F = Factor<T>;
    constexpr int64 pair = pair_size<F>;
    const int64 rows = p.in_rows + p.strip_rows, group = task / rows, row = task % rows;
    const bool is_x = row < p.in_rows;
    const T* from[2] = {p.zeros, p.zeros};
    bool any = false;
    const int64 inside = is_x ? std::min(p.width, p.in_columns - std::min(p.in_columns, p.padding)) * p.channels
                        : p.out_width * p.out_channels;
    int64 valid[2] = {inside, inside};  // the last row of a linear layer may be shorter
    for (int64 i = 0; i < pair; ++i) {
        const int64 unit = (p.first_group + group) * pair + i;
        if (unit >= p.units) continue;
        const int64 picture = unit / p.strips, strip = unit % p.strips;
        if (is_x) {
            const int64 y = strip * p.strip_rows * p.stride - p.padding + row;
            if (y < 0 || y >= p.height) continue;
            const int64 at = (picture * p.height + y) * p.width * p.channels;
            from[i] = p.x + at;
            valid[i] = std::min(inside, p.x_end - at);
        } else {
            const int64 y = strip * p.strip_rows + row - p.in_rows;
            if (y >= p.out_height) continue;
            const int64 at = (picture * p.out_height + y) * p.out_width * p.out_channels;
            from[i] = p.dy + at;
            valid[i] = std::min(inside, p.dy_end - at);
        }
        any = true;
    }
    if (!any) valid[0] = valid[1] = 0;
    // Both rows go together as far as both reach; what only the first has meets zeros.
    const int64 both = pair == 2 ? std::min(valid[0], valid[1]) : valid[0];
    if (is_x) {
        F* to = static_cast<F*>(p.packed_x) + group * p.x_group() + row * p.x_row();
        if (valid[0] <= 0) return clear(to, p.x_row());
        if (p.channels_together != p.channels) return pack_blocks(p, from[0], valid[0] / p.channels, to);
        const int64 left = std::min(p.in_columns, p.padding) * p.channels * pair;
        clear(to, left);
        pack_pairs(from[0], from[1], both, to + left);
        if (both < valid[0]) pack_pairs(from[0] + both, p.zeros, valid[0] - both, to + left + both * pair);
        const int64 packed = left + valid[0] * pair;
        clear(to + packed, p.x_row() - packed);
        return;
    }
    const int64 first_pixel = (group * p.strip_rows + row - p.in_rows) * p.out_columns, n = p.out_channels;
    for (int64 first = 0; first < p.out_columns; first += columns_at_once)
        for (int64 panel = 0; panel < p.panels; ++panel) {
            F* to = static_cast<F*>(p.packed_dy) + (panel * p.groups * p.group_pixels() + first_pixel + first) * panel_width * pair;
            const int64 count = std::min(panel_width, n - panel * panel_width);
            if (columns_at_once == 1 && count == panel_width) {
                const int64 at = first * n + panel * panel_width;
                const T* a = at < valid[0] ? from[0] + at : p.zeros;
                const T* b = at < valid[1] ? from[1] + at : p.zeros;
                pack_pairs(a, b, panel_width, to);
                continue;
            }
            alignas(64) F columns[columns_at_once][panel_width * pair];
            for (int64 i = 0; i < columns_at_once; ++i) {
                const int64 at = (first + i) * n + panel * panel_width;
                const T* a = at < valid[0] ? from[0] + at : p.zeros;
                const T* b = at < valid[1] ? from[1] + at : p.zeros;
                pack_pairs(a, b, count, columns[i]);
                if (count < panel_width) clear(columns[i] + count * pair, (panel_width - count) * pair);
            }
            put_columns(columns, to);
        }
}
