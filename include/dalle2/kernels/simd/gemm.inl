// Matrix products whose left rows are found through pointers. Included inside a namespace and a target region.

// y[m][n] = Σ over taps and steps of x_m · w_n, for `Rows` rows and `Panels` panels of sixteen outputs.
template <class T, int Rows, int Panels>
void gemm_tile(const GemmTile<T>& t) {
    constexpr int per_panel = 16 / lanes, vectors = Panels * per_panel;
    constexpr int step = static_cast<int>(pair_size<T>);
    vf acc[Rows][vectors];
    if (t.add_to_partial) {
        DALLE2_UNROLL for (int i = 0; i < Rows; ++i)
            DALLE2_UNROLL for (int j = 0; j < vectors; ++j) acc[i][j] = load(t.partial + i * t.partial_stride + j * lanes);
    } else {
        DALLE2_UNROLL for (int i = 0; i < Rows; ++i)
            DALLE2_UNROLL for (int j = 0; j < vectors; ++j) acc[i][j] = zero();
    }
    for (int64 tap = 0; tap < t.taps; ++tap) {
        const T* x[Rows];
        DALLE2_UNROLL for (int i = 0; i < Rows; ++i) x[i] = t.rows[i] + t.x_offset + tap * t.x_tap_stride;
        const T* w[Panels];
        DALLE2_UNROLL for (int j = 0; j < Panels; ++j) w[j] = t.w + j * t.panel_stride + tap * t.w_tap_stride;
        for (int64 k = 0; k < t.steps; ++k) {
            decltype(load_weights(w[0])) b[vectors];
            DALLE2_UNROLL for (int j = 0; j < vectors; ++j)
                b[j] = load_weights(w[j / per_panel] + (k * 16 + j % per_panel * lanes) * step);
            DALLE2_UNROLL for (int i = 0; i < Rows; ++i) {
                const auto a = broadcast_step(x[i] + k * step);
                DALLE2_UNROLL for (int j = 0; j < vectors; ++j) acc[i][j] = multiply_add(acc[i][j], a, b[j]);
            }
        }
    }
    if (t.y == nullptr) {
        DALLE2_UNROLL for (int i = 0; i < Rows; ++i)
            DALLE2_UNROLL for (int j = 0; j < vectors; ++j) store(t.partial + i * t.partial_stride + j * lanes, acc[i][j]);
        return;
    }
    DALLE2_UNROLL for (int j = 0; j < vectors; ++j) {
        const int64 left = t.columns - j * lanes;
        if (left <= 0) break;
        const bool whole = left >= lanes;
        const vf bias = t.bias == nullptr ? zero() : whole ? load(t.bias + j * lanes) : load(t.bias + j * lanes, left);
        DALLE2_UNROLL for (int i = 0; i < Rows; ++i) {
            if (i >= t.valid_rows) break;
            T* to = t.y + i * t.y_stride + j * lanes;
            if (whole)
                store(to, acc[i][j] + bias);
            else
                store(to, acc[i][j] + bias, left);
        }
    }
}

template <class T>
using GemmTileFunction = void (*)(const GemmTile<T>&);

// The kernel that takes n panels at once, n ≤ max_panels.
template <class T>
DALLE2_INLINE GemmTileFunction<T> gemm_tile_of(int64 panels) {
    if constexpr (max_panels >= 4) {
        if (panels == 4) return gemm_tile<T, rows_of_panels[4], 4>;
        if (panels == 3) return gemm_tile<T, rows_of_panels[3], 3>;
        if (panels == 2) return gemm_tile<T, rows_of_panels[2], 2>;
    }
    return gemm_tile<T, rows_of_panels[1], 1>;
}

// How many of the panels that are left the next kernel takes: never 4 + 1 where 3 + 2 will do.
DALLE2_INLINE int64 next_panels(int64 left) {
    if (left <= max_panels) return left;
    return left == max_panels + 1 && max_panels > 2 ? max_panels - 1 : max_panels;
}

// One block of output pixels, one group of panels: see ConvPlan.
template <class T>
void conv_task(const ConvPlan<T>& plan, int64 task, char* scratch) {
    const int64 block = task / plan.groups, group = task % plan.groups;
    const int64 first_picture = block / plan.strips * plan.pictures_per_block;
    const int64 pictures = std::min(plan.pictures_per_block, plan.batch - first_picture);
    const int64 first_row = block % plan.strips * plan.rows_per_strip;
    const int64 out_rows = std::min(plan.rows_per_strip, plan.out_height - first_row);
    const int64 pixels = pictures * out_rows * plan.out_width;
    const T** rows = reinterpret_cast<const T**>(scratch);
    float* partial = reinterpret_cast<float*>(scratch + plan.partial_at);
    T* copy = reinterpret_cast<T*>(scratch + plan.copy_at);

    const T* source = plan.x + (first_picture * plan.height + first_row * plan.stride) * plan.width * plan.channels;
    int64 row_stride = plan.width * plan.channels, picture_stride = plan.height * row_stride;
    if (plan.copied) {
        const int64 in_rows = (out_rows - 1) * plan.stride + plan.kernel_height;
        const int64 in_columns = (plan.out_width - 1) * plan.stride + plan.kernel_width;
        copy_padded(plan, first_picture, pictures, first_row * plan.stride - plan.pad_y, in_rows, in_columns, copy);
        source = copy;
        row_stride = in_columns * plan.channels;
        picture_stride = in_rows * row_stride;
    }
    int64 pixel = 0;
    for (int64 b = 0; b < pictures; ++b)
        for (int64 y = 0; y < out_rows; ++y)
            for (int64 x = 0; x < plan.out_width; ++x)
                rows[pixel++] = source + b * picture_stride + y * plan.stride * row_stride + x * plan.stride * plan.channels;
    for (int i = 0; i < ConvPlan<T>::most_rows; ++i) rows[pixel + i] = rows[pixel - 1];

    constexpr int64 step = pair_size<T>;
    GemmTile<T> t{};
    t.x_tap_stride = row_stride;
    t.w_tap_stride = plan.run * panel_width;
    t.panel_stride = plan.panel_stride;
    t.y_stride = plan.out_channels;
    const int64 end = std::min(plan.panels, (group + 1) * plan.panels_per_group);
    T* y = plan.y + ((first_picture * plan.out_height + first_row) * plan.out_width) * plan.out_channels;
    for (int64 panel = group * plan.panels_per_group; panel < end;) {
        const int64 count = next_panels(end - panel), tile_rows = rows_of_panels[count];
        const auto kernel = gemm_tile_of<T>(count);
        const int64 column = panel * panel_width;
        t.columns = std::min(plan.out_channels - column, count * panel_width);
        t.bias = plan.bias ? plan.bias + column : nullptr;
        t.partial_stride = count * panel_width;
        for (int64 tap = 0; tap < plan.kernel_height; tap += plan.taps_per_chunk)
            for (int64 k = 0; k < plan.run; k += plan.run_per_chunk) {
                t.taps = std::min(plan.taps_per_chunk, plan.kernel_height - tap);
                t.steps = std::min(plan.run_per_chunk, plan.run - k) / step;
                t.x_offset = tap * row_stride + k;
                t.w = plan.w + panel * plan.panel_stride + tap * t.w_tap_stride + k * panel_width;
                t.add_to_partial = tap > 0 || k > 0;
                const bool last = tap + t.taps == plan.kernel_height && k + t.steps * step == plan.run;
                for (int64 m = 0; m < pixels; m += tile_rows) {
                    t.rows = rows + m;
                    t.valid_rows = std::min(tile_rows, pixels - m);
                    t.partial = partial + m * t.partial_stride;
                    t.y = last ? y + m * plan.out_channels + column : nullptr;
                    kernel(t);
                }
            }
        panel += count;
    }
}
