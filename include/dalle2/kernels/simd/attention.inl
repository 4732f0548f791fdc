// Attention of one head. Included inside a namespace and a target region.

// Rows [count, width], `stride` apart, as panels of sixteen rows for products along the width:
// [panel][width / pair][16][pair]; rows that are missing from the last panel are zero.
template <class T, class F>
DALLE2_APART void pack_rows(const T* from, int64 stride, int64 count, int64 width, F* to) {
    constexpr int64 pair = pair_size<F>;
    for (int64 first_row = 0; first_row < count; first_row += panel_width, to += panel_width * width) {
        const int64 rows = std::min(panel_width, count - first_row);
        if (width % (panel_width * pair) == 0) {
            // Whole squares of four bytes, whose lines become columns.
            alignas(64) float square[16][16], turned[16][16];
            clear(square[0] + rows * panel_width, (panel_width - rows) * panel_width);
            for (int64 i = 0; i < width; i += panel_width * pair) {
                for (int64 row = 0; row < rows; ++row)
                    copy_factors(from + (first_row + row) * stride + i, panel_width * pair, reinterpret_cast<F*>(square[row]));
                turn_square(square, turned);
                __builtin_memcpy(static_cast<void*>(to + i * panel_width), turned, sizeof turned);
            }
            continue;
        }
        if (rows < panel_width) clear(to, panel_width * width);
        for (int64 row = 0; row < rows; ++row) {
            const T* source = from + (first_row + row) * stride;
            for (int64 i = 0; i < width; i += pair)
                for (int64 member = 0; member < pair; ++member)
                    to[i * panel_width + row * pair + member] = static_cast<F>(source[i + member]);
        }
    }
}

// Rows [count, width], `stride` apart, as panels of sixteen columns for products along the rows:
// [panel][padded / pair][16][pair]; missing rows up to `padded` and missing columns are zero.
template <class T, class F>
DALLE2_APART void pack_columns(const T* from, int64 stride, int64 count, int64 width, int64 padded, F* to) {
    constexpr int64 pair = pair_size<F>;
    alignas(64) T zeros[16] = {};
    for (int64 column = 0; column < width; column += panel_width, to += padded * panel_width) {
        const int64 columns = std::min(panel_width, width - column);
        if (columns < panel_width) clear(to, padded * panel_width);
        for (int64 row = 0; row < padded; row += pair) {
            const T* a = row < count ? from + row * stride + column : zeros;
            const T* b = row + 1 < count ? from + (row + 1) * stride + column : zeros;
            // (A constant count needs no call.)
            if (columns == panel_width)
                pack_pairs(a, b, panel_width, to + row * panel_width);
            else
                pack_pairs(a, b, columns, to + row * panel_width);
        }
    }
}

// out [count, keys] = rows · packed, for `panels` panels whose products are `run` long.
template <class T>
DALLE2_APART void multiply_rows(const T* const* rows, int64 count, const T* packed, int64 run, int64 panels, float* out) {
    GemmTile<T, T> t{};
    t.taps = 1;
    t.steps = run / pair_size<T>;
    t.panel_stride = run * panel_width;
    t.partial_stride = panels * panel_width;
    for (int64 panel = 0; panel < panels;) {
        const int64 some = next_panels(panels - panel, max_panels), tile_rows = rows_of_panels[some];
        const auto kernel = gemm_tile_of<T, T>(some);
        t.w = packed + panel * t.panel_stride;
        for (int64 m = 0; m < count; m += tile_rows) {
            t.rows = rows + m;
            t.valid_rows = std::min(tile_rows, count - m);
            t.partial = out + m * t.partial_stride + panel * panel_width;
            kernel(t);
        }
        panel += some;
    }
}

// y [count, columns], `stride` apart, = rows · packed. (For the gradient.)
template <class T, class Y>
DALLE2_APART void multiply_rows_to(const T* const* rows, int64 count, const T* packed, int64 run, int64 columns, Y* y,
                                   int64 stride) {
    GemmTile<T, T, Y> t{};
    t.taps = 1;
    t.steps = run / pair_size<T>;
    t.panel_stride = run * panel_width;
    t.y_stride = stride;
    alignas(64) float sums[most_tile_rows * most_tile_columns];
    t.partial = sums;
    const int64 panels = (columns + panel_width - 1) / panel_width;
    for (int64 panel = 0; panel < panels;) {
        const int64 some = next_panels(panels - panel, max_panels), tile_rows = rows_of_panels[some];
        const auto kernel = gemm_tile_of<T, T, Y>(some);
        t.w = packed + panel * t.panel_stride;
        t.partial_stride = some * panel_width;
        t.columns = std::min(columns - panel * panel_width, some * panel_width);
        for (int64 m = 0; m < count; m += tile_rows) {
            t.rows = rows + m;
            t.valid_rows = std::min(tile_rows, count - m);
            t.y = y + m * stride + panel * panel_width;
            kernel(t);
        }
        panel += some;
    }
}

// sums [keys, width] (+)= xᵀ · y over `steps` queries or pairs of them; x [step][keys][pair],
// y [panel][step][16][pair].
template <class T>
DALLE2_APART void multiply_transposed(const T* x, const T* y, int64 steps, int64 keys, int64 width, bool add,
                                      float* sums) {
    constexpr int64 pair = pair_size<T>;
    WeightTile<T> t{};
    t.groups = t.rows = 1;
    t.columns = steps;
    t.x_column_stride = keys * pair;
    t.dy_panel_stride = steps * panel_width * pair;
    t.sums_stride = width;
    t.add = add;
    const int64 panels = width / panel_width;
    for (int64 panel = 0; panel < panels;) {
        const int64 some = next_panels(panels - panel, max_panels);
        const WeightKernel<T> kernel = weight_kernel_of<T>(some, keys);
        t.dy = y + panel * t.dy_panel_stride;
        for (int64 key = 0; key < keys; key += kernel.rows) {
            t.x = x + key * pair;
            t.sums = sums + key * width + panel * panel_width;
            t.valid_rows = std::min(kernel.rows, keys - key);
            kernel.run(t);
        }
        panel += some;
    }
}

// Fills rows with pointers to `count` rows of x, and those that may be read beyond but are not wanted.
template <class F>
DALLE2_INLINE void point_at(const F** rows, const F* x, int64 stride, int64 count) {
    for (int64 i = 0; i < count + most_tile_rows; ++i) rows[i] = x + std::min(i, count - 1) * stride;
}
// The same of rows of `width` numbers, through copies where they must change their type to be multiplied.
template <class T, class F>
DALLE2_INLINE void point_at(const F** rows, const T* x, int64 stride, int64 count, int64 width, F* copies) {
    if constexpr (std::is_same_v<T, F>) {
        point_at(rows, x, stride, count);
    } else {
        for (int64 i = 0; i < count; ++i) copy_factors(x + i * stride, width, copies + i * width);
        point_at(rows, static_cast<const F*>(copies), width, count);
    }
}

// scores·scale + mask, minus infinity where there is no key; returns the largest.
template <class T>
DALLE2_INLINE float finish_scores(const AttentionPlan<T>& p, const float* mask, float* scores) {
    const int64 keys = p.shape.keys;
    for (int64 key = keys; key < p.keys; ++key) scores[key] = -std::numeric_limits<float>::infinity();
    const vf factor = set1(p.scale);
    vf top = set1(-std::numeric_limits<float>::infinity());
    for (int64 key = 0; key < p.keys; key += lanes) {
        vf s = load(scores + key) * factor;
        if (mask && key < keys) s = s + (key + lanes <= keys ? load(mask + key) : load(mask + key, keys - key));
        store(scores + key, s);
        top = max(top, s);
    }
    return largest(top);
}

// Probabilities, but for the division by their sum, of one row of scores [keys], which it may change; zeros where
// there is no key. `top` and `all` become what the softmax took away and the sum: a row that may look nowhere has
// a sum of zero.
template <class T>
DALLE2_INLINE void softmax_row(const AttentionPlan<T>& p, const float* mask, float* scores, Factor<T>* probabilities,
                               float& top, float& all) {
    constexpr float log2_of_e = 1.44269504f;
    const int64 keys = p.shape.keys;
    if (mask) {
        top = finish_scores(p, mask, scores);
    } else {
        for (int64 key = keys; key < p.keys; ++key) scores[key] = -std::numeric_limits<float>::infinity();
        vf most = load(scores);
        for (int64 key = lanes; key < p.keys; key += lanes) most = max(most, load(scores + key));
        top = largest(most);
    }
    const vf factor = set1(mask ? log2_of_e : p.scale * log2_of_e);
    const vf shift = set1(top == -std::numeric_limits<float>::infinity() ? 0.0f : top);
    vf total = zero();
    for (int64 key = 0; key < p.keys; key += lanes) {
        const vf e = power_of_two<T>((load(scores + key) - shift) * factor);
        store(probabilities + key, e);
        total = total + e;
    }
    all = sum(total);
    if (!mask) top *= p.scale;
}

template <class T>
DALLE2_INLINE const float* mask_row(const AttentionPlan<T>& p, int64 b, int64 query) {
    return p.mask.data ? p.mask.data + b * p.mask.batch_stride + query * p.mask.query_stride : nullptr;
}

template <class T>
void attention_task(const AttentionPlan<T>& p, int64 task, char* scratch) {
    const AttentionShape& s = p.shape;
    using F = Factor<T>;
    const AttentionScratch<T, F> w(p, {scratch});
    const MatrixUnit ready;
    const int64 head = task / p.tasks_per_head % s.heads, b = task / p.tasks_per_head / s.heads;
    const int64 stride = s.width(), offset = head * s.head_width;
    pack_rows(p.k + b * s.keys * stride + offset, stride, s.keys, s.head_width, w.keys);
    pack_columns(p.v + b * s.keys * stride + offset, stride, s.keys, s.head_width, p.keys, w.values);
    const int64 first_block = task % p.tasks_per_head * p.blocks_per_task;
    for (int64 block = first_block; block < std::min(p.blocks, first_block + p.blocks_per_task); ++block) {
        const int64 first = block * p.block, count = std::min(p.block, s.queries - first);
        const int64 at = (b * s.queries + first) * stride + offset;
        point_at(w.rows, p.q + at, stride, count, s.head_width, w.row_copies);
        multiply_rows(w.rows, count, w.keys, s.head_width, p.keys / panel_width, w.scores);
        for (int64 i = 0; i < count; ++i) {
            float top, all;
            softmax_row(p, mask_row(p, b, first + i), w.scores + i * p.keys, w.probabilities + i * p.keys, top, all);
            // A query that may look nowhere sees zero, not NaN.
            w.inverses[i] = all == 0 ? 0.0f : 1.0f / all;
            if (p.log_sum_exp) p.log_sum_exp[(b * s.heads + head) * s.queries + first + i] = top + std::log(all);
        }
        point_at(w.rows, static_cast<const F*>(w.probabilities), p.keys, count);
        multiply_rows(w.rows, count, w.values, p.keys, p.width / panel_width, w.sums);
        for (int64 i = 0; i < count; ++i) {
            const vf inverse = set1(w.inverses[i]);
            for_vectors(s.head_width, [&](int64 c, Left left) DALLE2_LAMBDA {
                store(p.y + at + i * stride + c, load(w.sums + i * p.width + c, left) * inverse, left);
            });
        }
    }
}

template <class T>
void attention_backward_task(const AttentionPlan<T>& p, int64 task, char* scratch) {
    using F = Factor<T>;
    constexpr int64 pair = pair_size<F>;
    const AttentionShape& s = p.shape;
    const AttentionBackwardScratch<T, F> w(p, {scratch});
    const int64 head = task % s.heads, b = task / s.heads;
    const int64 stride = s.width(), offset = head * s.head_width, first_key = b * s.keys * stride + offset;
    pack_rows(p.k + first_key, stride, s.keys, s.head_width, w.keys);
    pack_rows(p.v + first_key, stride, s.keys, s.head_width, w.values);
    pack_columns(p.k + first_key, stride, s.keys, s.head_width, p.keys, w.keys_by_width);
    for (int64 first = 0; first < s.queries; first += p.block) {
        const int64 count = std::min(p.block, s.queries - first), padded = (count + pair - 1) / pair * pair;
        const int64 at = (b * s.queries + first) * stride + offset;
        point_at(w.rows, p.q + at, stride, count, s.head_width, w.row_copies);
        multiply_rows(w.rows, count, w.keys, s.head_width, p.keys / panel_width, w.scores);
        point_at(w.rows, p.dy + at, stride, count, s.head_width, w.row_copies);
        multiply_rows(w.rows, count, w.values, s.head_width, p.keys / panel_width, w.dp);
        for (int64 i = 0; i < padded; ++i) {
            F* ds = w.ds_rows + i * p.keys;
            F* probabilities = w.probabilities + i * p.keys;
            if (i == count) {
                clear(ds, p.keys);
                clear(probabilities, p.keys);
                continue;
            }
            float* scores = w.scores + i * p.keys;
            const float* dp = w.dp + i * p.keys;
            finish_scores(p, mask_row(p, b, first + i), scores);
            const float lse = p.forward_log_sum_exp[(b * s.heads + head) * s.queries + first + i];
            const vf shift = set1(lse == -std::numeric_limits<float>::infinity() ? 0.0f : lse);
            vf inner = zero();
            for_vectors(s.head_width, [&](int64 c, Left left) DALLE2_LAMBDA {
                inner = fma(load(p.forward_y + at + i * stride + c, left), load(p.dy + at + i * stride + c, left),
                            inner);
            });
            const vf mean = set1(sum(inner)), factor = set1(p.scale);
            for (int64 key = 0; key < p.keys; key += lanes) {
                const vf probability = exp(load(scores + key) - shift);
                store(probabilities + key, probability);
                store(ds + key, probability * (load(dp + key) - mean) * factor);
            }
        }
        point_at(w.rows, static_cast<const F*>(w.ds_rows), p.keys, count);
        multiply_rows_to(w.rows, count, w.keys_by_width, p.keys, s.head_width, p.dq + at, stride);

        pack_columns(p.dy + at, stride, count, s.head_width, padded, w.dy);
        pack_columns(p.q + at, stride, count, s.head_width, padded, w.q);
        const F* queries_of_keys = w.ds_rows;
        if constexpr (pair == 2) {
            for (int64 i = 0; i < padded; i += 2)
                pack_pairs(w.ds_rows + i * p.keys, w.ds_rows + (i + 1) * p.keys, p.keys, w.ds + i * p.keys);
            queries_of_keys = w.ds;
        }
        multiply_transposed(queries_of_keys, static_cast<const F*>(w.q), padded / pair, p.keys, p.width, first > 0, w.dk);
        if constexpr (pair == 2) {
            for (int64 i = 0; i < padded; i += 2)
                pack_pairs(w.probabilities + i * p.keys, w.probabilities + (i + 1) * p.keys, p.keys, w.ds + i * p.keys);
            queries_of_keys = w.ds;
        } else {
            queries_of_keys = w.probabilities;
        }
        multiply_transposed(queries_of_keys, static_cast<const F*>(w.dy), padded / pair, p.keys, p.width, first > 0,
                            w.dv);
    }
    for (int64 key = 0; key < s.keys; ++key) {
        from_float(s.head_width, w.dk + key * p.width, p.dk + first_key + key * stride);
        from_float(s.head_width, w.dv + key * p.width, p.dv + first_key + key * stride);
    }
}
