// Gradients of weights: products summed over pixels. Included inside a namespace and a target region.

template <class T, int Rows, int Panels>
void weight_tile(const WeightTile<T>& t) {
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
DALLE2_INLINE WeightTileFunction<T> weight_tile_of(int64 panels) {
    if constexpr (max_panels >= 4) {
        if (panels == 4) return weight_tile<T, rows_of_panels[4], 4>;
        if (panels == 3) return weight_tile<T, rows_of_panels[3], 3>;
        if (panels == 2) return weight_tile<T, rows_of_panels[2], 2>;
    }
    return weight_tile<T, rows_of_panels[1], 1>;
}

// to[i] = a[i], or for bfloat16 the pairs of a[i] and b[i].
DALLE2_INLINE void pack_pairs(const float* a, const float*, int64 count, float* to) {
    std::memcpy(to, a, static_cast<std::size_t>(count) * sizeof(float));
}
DALLE2_INLINE void pack_pairs(const bfloat16* a, const bfloat16* b, int64 count, bfloat16* to) {
    int64 i = 0;
    for (; i + 16 <= count; i += 16) interleave(a + i, b + i, to + 2 * i);
    for (; i < count; ++i) {
        to[2 * i] = a[i];
        to[2 * i + 1] = b[i];
    }
}

template <class T>
DALLE2_INLINE void clear(T* at, int64 count) {
    std::memset(static_cast<void*>(at), 0, static_cast<std::size_t>(count) * sizeof(T));
}

// Packs one row of one group of the chunk that begins at `first_group`: of x, or of dy.
template <class T>
void weight_pack_task(const WeightPlan<T>& p, int64 first_group, int64 task) {
    constexpr int64 pair = pair_size<T>;
    const int64 rows = p.in_rows + p.strip_rows, group = task / rows, row = task % rows;
    const bool is_x = row < p.in_rows;
    const T* from[2] = {p.zeros, p.zeros};
    bool any = false;
    const int64 inside = is_x ? std::min(p.width, p.in_columns - std::min(p.in_columns, p.padding)) * p.channels
                        : p.out_width * p.out_channels;
    int64 valid[2] = {inside, inside};  // the last row of a linear layer may be shorter
    for (int64 i = 0; i < pair; ++i) {
        const int64 unit = (first_group + group) * pair + i;
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
    // Both rows go together as far as both reach; what only the first has meets zeros.
    const int64 both = pair == 2 ? std::min(valid[0], valid[1]) : valid[0];
    if (is_x) {
        T* to = p.packed_x + group * p.x_group() + row * p.x_row();
        if (!any) return clear(to, p.x_row());
        const int64 left = std::min(p.in_columns, p.padding) * p.channels * pair;
        clear(to, left);
        pack_pairs(from[0], from[1], both, to + left);
        if (both < valid[0]) pack_pairs(from[0] + both, p.zeros, valid[0] - both, to + left + both * pair);
        const int64 packed = left + valid[0] * pair;
        clear(to + packed, p.x_row() - packed);
        return;
    }
    const int64 first_pixel = (group * p.strip_rows + row - p.in_rows) * p.out_width, n = p.out_channels;
    for (int64 pixel = 0; pixel < p.out_width; ++pixel)
        for (int64 panel = 0; panel < p.panels; ++panel) {
            T* to = p.packed_dy + ((panel * p.dy_pixels()) + first_pixel + pixel) * panel_width * pair;
            const int64 at = pixel * n + panel * panel_width, count = std::min(panel_width, n - panel * panel_width);
            const T* a = at < valid[0] ? from[0] + at : p.zeros;
            const T* b = at < valid[1] ? from[1] + at : p.zeros;
            pack_pairs(a, b, count, to);
            if (count < panel_width) clear(to + count * pair, (panel_width - count) * pair);
        }
}

// Multiplies a packed chunk of `groups` groups, for one kernel row, some panels and a part of the run.
template <class T>
void weight_multiply_task(const WeightPlan<T>& p, int64 groups, bool add, int64 task) {
    constexpr int64 pair = pair_size<T>;
    const int64 parts = (p.run + p.run_per_task - 1) / p.run_per_task;
    const int64 part = task % parts, ky = task / parts % p.kernel_height, quad = task / parts / p.kernel_height;
    WeightTile<T> t{};
    t.groups = groups;
    t.rows = p.strip_rows;
    t.columns = p.out_width;
    t.x_group_stride = p.x_group();
    t.x_row_stride = p.x_row() * p.stride;
    t.x_column_stride = p.channels * p.stride * pair;
    t.dy_panel_stride = p.dy_pixels() * panel_width * pair;
    t.sums_stride = p.sums_stride();
    t.add = add;
    const int64 end = std::min(p.panels, quad * 4 + 4);
    for (int64 panel = quad * 4; panel < end;) {
        const int64 count = std::min<int64>(max_panels, end - panel), rows = rows_of_panels[count];
        const auto kernel = weight_tile_of<T>(count);
        t.dy = p.packed_dy + panel * t.dy_panel_stride;
        const int64 run_end = std::min(p.run, (part + 1) * p.run_per_task);
        for (int64 k = part * p.run_per_task; k < run_end; k += rows) {
            t.x = p.packed_x + ky * p.x_row() + k * pair;
            t.sums = p.sums + (ky * p.run + k) * t.sums_stride + panel * panel_width;
            t.valid_rows = std::min(rows, run_end - k);
            kernel(t);
        }
        if (p.bias_sums && ky == 0 && part == 0) {
            alignas(64) T ones[16 * pair];
            for (T& one : ones) one = T(1.0f);
            const int64 pixels = groups * p.strip_rows * p.out_width;
            for (int64 j = 0; j < count * (16 / lanes); ++j) {
                const int64 column = j % (16 / lanes) * lanes;
                float* to = p.bias_sums + panel * panel_width + j * lanes;
                const T* from = t.dy + j / (16 / lanes) * t.dy_panel_stride + column * pair;
                const auto one = load_weights(static_cast<const T*>(ones));
                vf total = add ? load(to) : zero();
                for (int64 pixel = 0; pixel < pixels; ++pixel)
                    total = multiply_add(total, one, load_weights(from + pixel * 16 * pair));
                store(to, total);
            }
        }
        panel += count;
    }
}

// Adds the sums of one panel to dw [out, in, kernel_height, kernel_width].
template <class T>
void weight_finish_task(const WeightPlan<T>& p, int64 panel, float* dw, float* dbias) {
    const int64 taps = p.kernel_height * p.kernel_width, length = p.channels * taps, stride = p.sums_stride();
    const int64 first_out = panel * panel_width, count = std::min(panel_width, p.out_channels - first_out);
    const float* sums = p.sums + first_out;
    constexpr int64 block = 16;
    alignas(64) float tile[block][16];
    int64 channel = 0, ky = 0, kx = 0;
    for (int64 first_weight = 0; first_weight < length; first_weight += block) {
        const int64 size = std::min(block, length - first_weight);
        for (int64 i = 0; i < size; ++i) {
            const float* from = sums + (ky * p.run + kx * p.channels + channel) * stride;
            for (int v = 0; v < 16; v += lanes) store(&tile[i][v], load(from + v));
            if (++kx == p.kernel_width) {
                kx = 0;
                if (++ky == p.kernel_height) {
                    ky = 0;
                    ++channel;
                }
            }
        }
        for (int64 o = 0; o < count; ++o) {
            float* to = dw + (first_out + o) * length + first_weight;
            for (int64 i = 0; i < size; ++i) to[i] += tile[i][o];
        }
    }
    if (dbias)
        for (int64 o = 0; o < count; ++o) dbias[first_out + o] += p.bias_sums[first_out + o];
}
