// Gradients of weights by AMX (see tiles_amx.inl): a tile of dy has sixteen outputs by sixteen columns, one of x these columns by
// sixteen channels, and their product sixteen outputs by sixteen channels. Included inside a namespace and a target region.

// Columns of dy that are packed together, and how: see WeightPlan.
inline constexpr int64 columns_at_once = 16;
DALLE2_INLINE void put_columns(const bfloat16 (&columns)[16][32], bfloat16* to) {
    alignas(64) float square[16][16], turned[16][16];
    __builtin_memcpy(square, columns, sizeof square);
    turn_square(square, turned);
    __builtin_memcpy(static_cast<void*>(to), turned, sizeof turned);
}

// Where the tiles of a product begin. Numbers of elements, but for the strides of a tile's rows.
struct WeightTiles {
    const bfloat16 *x, *dy;
    int64 groups, rows, blocks;  // blocks of sixteen columns
    int64 x_group_stride, x_row_stride, x_block_stride, dy_panel_stride;
    int64 x_column_bytes;
    float* sums;  // [16·panels][sums_stride]
    int64 sums_stride;
    bool add;  // to the sums that are there
};

// Sums of one panel or two, and of sixteen channels or 32.
template <bool SecondPanel, bool SecondPart>
DALLE2_APART void multiply_weight_tiles(const WeightTiles& t) {
    const int64 sums_bytes = t.sums_stride * static_cast<int64>(sizeof(float));
    begin_sums<SecondPanel, SecondPart>(t.sums, sums_bytes, t.add);
    const bfloat16* dy = t.dy;
    for (int64 group = 0; group < t.groups; ++group)
        for (int64 row = 0; row < t.rows; ++row) {
            const bfloat16* x = t.x + group * t.x_group_stride + row * t.x_row_stride;
            for (int64 block = 0; block < t.blocks; ++block, x += t.x_block_stride, dy += 16 * 32) {
                _tile_loadd(4, dy, 64);
                _tile_loadd(6, x, t.x_column_bytes);
                _tile_dpbf16ps(0, 4, 6);
                if constexpr (SecondPart) {
                    _tile_loadd(7, x + 32, t.x_column_bytes);
                    _tile_dpbf16ps(1, 4, 7);
                }
                if constexpr (SecondPanel) {
                    _tile_loadd(5, dy + t.dy_panel_stride, 64);
                    _tile_dpbf16ps(2, 5, 6);
                    if constexpr (SecondPart) _tile_dpbf16ps(3, 5, 7);
                }
            }
        }
    end_sums<SecondPanel, SecondPart>(t.sums, sums_bytes);
}

// dbias += Σ dy over all pixels, for one panel.
template <std::same_as<bfloat16> T>
DALLE2_APART void add_bias_gradient(const WeightPlan<T>& p, int64 panel) {
    const int64 blocks = p.groups * p.group_pixels() / columns_at_once;
    const T* from = static_cast<const T*>(p.packed_dy) + panel * blocks * 16 * 32;
    const int64 first = panel * panel_width, count = std::min(panel_width, p.out_channels - first);
    const vi one = _mm512_set1_epi32(0x3f803f80);  // a pair of them
    for (int64 o = 0; o < count; ++o) {
        vf total = zero();
        for (int64 block = 0; block < blocks; ++block)
            total = multiply_add(total, WeightPairs{one}, load_weights(from + (block * 16 + o) * 32));
        p.dbias[first + o] += sum(total);
    }
}

// dw = or, if p.add, += sums [kernel row][kernel column][output][channel] of some kernel rows, outputs and channels.
template <std::same_as<bfloat16> T>
DALLE2_APART void add_to_weights(const WeightPlan<T>& p, const float* sums, int64 stride, int64 first_out, int64 outputs,
                                 int64 first_row, int64 first_channel, int64 channels) {
    const int64 taps = p.kernel_height * p.kernel_width, some = p.kernel_rows_per_task * p.kernel_width;
    const int64 tap_stride = p.panels_per_task * panel_width * stride;
    // Where the sums of sixteen channels are, in the order of dw.
    constexpr int64 most_taps = 9;
    const bool whole = some == taps && taps <= most_taps;
    alignas(64) std::int32_t places[most_taps][lanes];
    for (int64 i = 0; whole && i < taps * lanes; ++i)
        places[i / lanes][i % lanes] = static_cast<std::int32_t>(i % taps * tap_stride + i / taps);
    for (int64 o = 0; o < outputs; ++o, sums += stride) {
        float* to = p.dw + ((first_out + o) * p.channels + first_channel) * taps + first_row * p.kernel_width;
        if (taps == 1) {
            for (int64 i = 0; i < channels; i += lanes) {
                const Left left = {channels - i};
                const vf found = load(sums + i, left);
                store(to + i, p.add ? load(to + i, left) + found : found, left);
            }
            continue;
        }
        int64 i = 0;
        if (whole)  // each vector of neighbours at once
            for (; i + lanes <= channels; i += lanes)
                for (int64 j = 0; j < taps; ++j) {
                    const vf found = _mm512_i32gather_ps(_mm512_load_si512(places[j]), sums + i, sizeof(float));
                    float* at = to + i * taps + j * lanes;
                    store(at, p.add ? load(at) + found : found);
                }
        for (; i < channels; ++i)
            for (int64 tap = 0; tap < some; ++tap) {
                float& at = to[i * taps + tap];
                at = (p.add ? at : 0.0f) + sums[tap * tap_stride + i];
            }
    }
}

// Computes some weights' gradients whole, from all packed pixels: see WeightPlan.
template <std::same_as<bfloat16> T>
void weight_multiply_task(const WeightPlan<T>& p, int64 task, float* sums) {
    const int64 part = task % p.parts, quad = task / p.parts % p.quads();
    const int64 first_row = task / p.parts / p.quads() * p.kernel_rows_per_task;
    const int64 first_channel = part * p.channels_per_task;
    const int64 channels = std::min(p.channels_per_task, p.channels - first_channel);
    const int64 first_panel = quad * p.panels_per_task, end = std::min(p.panels, first_panel + p.panels_per_task);
    const MatrixUnit ready;
    WeightTiles t{};
    t.rows = p.strip_rows;
    t.blocks = p.out_columns / columns_at_once;
    t.x_group_stride = p.x_group();
    t.x_row_stride = p.x_row() * p.stride;
    t.x_block_stride = columns_at_once * p.channels * p.stride * 2;
    t.x_column_bytes = p.channels * p.stride * 2 * static_cast<int64>(sizeof(T));
    t.dy_panel_stride = p.groups * p.group_pixels() * panel_width * 2;
    t.sums_stride = p.channels_per_task;
    for (int64 group = 0; group < p.groups; group += p.groups_per_chunk) {
        t.groups = std::min(p.groups_per_chunk, p.groups - group);
        t.add = group > 0;
        for (int64 panel = first_panel; panel < end; panel += 2) {
            t.dy = static_cast<const T*>(p.packed_dy) + panel * t.dy_panel_stride + group * p.group_pixels() * panel_width * 2;
            for (int64 tap = 0; tap < p.kernel_rows_per_task * p.kernel_width; ++tap) {
                const int64 ky = first_row + tap / p.kernel_width, kx = tap % p.kernel_width;
                const T* x = static_cast<const T*>(p.packed_x) + group * p.x_group() + ky * p.x_row() +
                             (kx * p.channels + first_channel) * 2;
                float* to = sums + (tap * p.panels_per_task + panel - first_panel) * panel_width * t.sums_stride;
                for (int64 channel = 0; channel < channels; channel += 32) {
                    t.x = x + channel * 2;
                    t.sums = to + channel;
                    const bool second_part = channel + 16 < channels;
                    if (panel + 1 < end)
                        second_part ? multiply_weight_tiles<true, true>(t) : multiply_weight_tiles<true, false>(t);
                    else
                        second_part ? multiply_weight_tiles<false, true>(t) : multiply_weight_tiles<false, false>(t);
                }
            }
        }
    }
    const int64 first_out = first_panel * panel_width;
    add_to_weights(p, sums, t.sums_stride, first_out, std::min(end * panel_width, p.out_channels) - first_out, first_row,
                   first_channel, channels);
    if (p.dbias && part == 0 && first_row == 0)
        for (int64 panel = first_panel; panel < end; ++panel) add_bias_gradient(p, panel);
}
