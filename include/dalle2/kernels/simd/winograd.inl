// 3×3 convolutions by Winograd's method: see WinogradPlan. Included inside a namespace and a target region.

// The one-dimensional transforms of F(2, 3) and F(4, 3); a tile takes each in both directions. F(2, 3) is the polynomial
// product evaluated at 0, 1, -1 and infinity. F(4, 3) is evaluated at 0, ±1/√2, ±√2 and infinity: with these the rounding of
// the factors to bfloat16 leaves less than half of the error that it leaves with the usual ±1 and ±2.
inline constexpr float winograd_near = 0.70710678f, winograd_far = 1.41421356f;

DALLE2_INLINE void winograd_input(vf (&d)[4], vf (&to)[4]) {
    to[0] = d[0] - d[2];
    to[1] = d[1] + d[2];
    to[2] = d[2] - d[1];
    to[3] = d[1] - d[3];
}
DALLE2_INLINE void winograd_input(vf (&d)[6], vf (&to)[6]) {
    const vf near = set1(winograd_near), far = set1(winograd_far), middle = set1(-2.5f);
    const vf near_even = fma(set1(-2.0f), d[2], d[4]), near_odd = near * fma(set1(-2.0f), d[1], d[3]);
    const vf far_even = fma(set1(-0.5f), d[2], d[4]), far_odd = far * fma(set1(-0.5f), d[1], d[3]);
    to[0] = fma(middle, d[2], d[0] + d[4]);
    to[1] = near_even + near_odd;
    to[2] = near_even - near_odd;
    to[3] = far_even + far_odd;
    to[4] = far_even - far_odd;
    to[5] = fma(middle, d[3], d[1] + d[5]);
}
DALLE2_INLINE void winograd_weights(vf (&g)[3], vf (&to)[4]) {
    const vf half = set1(0.5f), outer = half * (g[0] + g[2]), middle = half * g[1];
    to[0] = g[0];
    to[1] = outer + middle;
    to[2] = outer - middle;
    to[3] = g[2];
}
DALLE2_INLINE void winograd_weights(vf (&g)[3], vf (&to)[6]) {
    const vf third = set1(1.0f / 3.0f), sixth = set1(1.0f / 6.0f);
    const vf near_even = set1(-1.0f) * third * (g[0] + g[0] + g[2]), near_odd = set1(-2.0f / 3.0f * winograd_near) * g[1];
    const vf far_even = sixth * (g[0] + g[2] + g[2]), far_odd = set1(winograd_far / 6.0f) * g[1];
    to[0] = g[0];
    to[1] = near_even + near_odd;
    to[2] = near_even - near_odd;
    to[3] = far_even + far_odd;
    to[4] = far_even - far_odd;
    to[5] = g[2];
}
DALLE2_INLINE void winograd_output(vf (&m)[4], vf (&to)[2]) {
    to[0] = m[0] + m[1] + m[2];
    to[1] = m[1] - m[2] - m[3];
}
DALLE2_INLINE void winograd_output(vf (&m)[6], vf (&to)[4]) {
    const vf near_sum = m[1] + m[2], near_difference = set1(winograd_near) * (m[1] - m[2]);
    const vf far_sum = m[3] + m[4], far_difference = set1(winograd_far) * (m[3] - m[4]);
    to[0] = m[0] + near_sum + far_sum;
    to[1] = near_difference + far_difference;
    to[2] = fma(set1(0.5f), near_sum, far_sum + far_sum);
    to[3] = fma(set1(0.5f), near_difference, far_difference + far_difference) + m[5];
}

// One tile's input: pixels[y·side + x] points to the channels of a pixel → to[element·element_stride + channel].
template <class T, int Tile>
void winograd_input_tile(const T* const* pixels, int64 channels, Factor<T>* to, int64 element_stride) {
    constexpr int side = Tile + 2, elements = side * side;
    // The last channels, where they are less than a vector.
    T padded[elements][lanes];
    const T* padded_pixels[elements];
    Factor<T> short_results[elements][lanes];
    const int64 left = channels % lanes, whole = channels - left;
    if (left > 0)
        for (int element = 0; element < elements; ++element) {
            clear(padded[element], lanes);
            std::memcpy(static_cast<void*>(padded[element]), pixels[element] + whole, static_cast<std::size_t>(left) * sizeof(T));
            padded_pixels[element] = padded[element];
        }
    for (int64 c = 0; c < channels; c += lanes) {
        const bool last = c == whole;
        const T* const* from = last ? padded_pixels : pixels;
        const int64 from_channel = last ? 0 : c, stride = last ? lanes : element_stride;
        Factor<T>* at = last ? short_results[0] : to + c;
        vf half[side][side];
        DALLE2_UNROLL for (int x = 0; x < side; ++x) {
            vf column[side], changed[side];
            DALLE2_UNROLL for (int y = 0; y < side; ++y) column[y] = load(from[y * side + x] + from_channel);
            winograd_input(column, changed);
            DALLE2_UNROLL for (int y = 0; y < side; ++y) half[y][x] = changed[y];
        }
        DALLE2_UNROLL for (int y = 0; y < side; ++y) {
            vf changed[side];
            winograd_input(half[y], changed);
            DALLE2_UNROLL for (int x = 0; x < side; ++x) store(at + (y * side + x) * stride, changed[x]);
        }
    }
    if (left > 0)
        for (int element = 0; element < elements; ++element)
            std::memcpy(static_cast<void*>(to + element * element_stride + whole), short_results[element],
                        static_cast<std::size_t>(left) * sizeof(Factor<T>));
}

// The weights of all taps at one place of the packed order.
template <int Tile>
DALLE2_INLINE void winograd_transform_weights(vf (&taps)[3][3], vf (&to)[Tile + 2][Tile + 2]) {
    constexpr int side = Tile + 2;
    vf half[side][3];
    DALLE2_UNROLL for (int x = 0; x < 3; ++x) {
        vf column[3] = {taps[0][x], taps[1][x], taps[2][x]}, changed[side];
        winograd_weights(column, changed);
        DALLE2_UNROLL for (int y = 0; y < side; ++y) half[y][x] = changed[y];
    }
    DALLE2_UNROLL for (int y = 0; y < side; ++y) winograd_weights(half[y], to[y]);
}

// The weights that stand at place i of [channel / pair][16][pair], or, where pairs are taken apart, of [channel][16].
template <class T>
DALLE2_INLINE vf load_factors(const T* from, int64 i) {
    if constexpr (std::is_same_v<T, Factor<T>>) {
        return load(from + i);
    } else {
        const int64 channel = i / panel_width, out = i % panel_width;
        return channel % 2 == 0 ? load_weights(from + channel * panel_width + out * 2, 0)
                                : load_weights(from + (channel - 1) * panel_width + out * 2, 1);
    }
}

// One panel's weights, [kernel row][kernel column][channel / pair][16][pair] → to[element][channel / pair][16][pair].
template <int Tile, class T>
DALLE2_APART void winograd_weight_panel(const T* from, int64 row, int64 channels, const float*, Factor<T>* to,
                                        int64 element_stride) {
    constexpr int side = Tile + 2;
    for (int64 i = 0; i < channels * panel_width; i += lanes) {
        vf taps[3][3], changed[side][side];
        DALLE2_UNROLL for (int y = 0; y < 3; ++y)
            DALLE2_UNROLL for (int x = 0; x < 3; ++x)
                taps[y][x] = load_factors(from + y * row + x * channels * panel_width, i);
        winograd_transform_weights<Tile>(taps, changed);
        DALLE2_UNROLL for (int y = 0; y < side; ++y)
            DALLE2_UNROLL for (int x = 0; x < side; ++x)
                store(to + (y * side + x) * element_stride + i, changed[y][x]);
    }
}

// Sixteen weights of a channel and of the next one, in the order of a product.
DALLE2_INLINE void pack_members(const bfloat16* first, const bfloat16* second, bfloat16* to) { interleave(first, second, to); }
DALLE2_INLINE void pack_members(const float* first, const float* second, float* to) {
    std::memcpy(to, first, 16 * sizeof(float));
    std::memcpy(to + 16, second, 16 * sizeof(float));
}

// The same from bytes, [..][channel / 4][16][4], each of which stands for so many times the scale of its output.
typedef std::int32_t vq __attribute__((vector_size(4 * lanes)));
template <int Tile>
DALLE2_APART void winograd_weight_panel(const std::int8_t* from, int64 row, int64 channels, const float* scales,
                                        Factor<bfloat16>* to, int64 element_stride) {
    constexpr int side = Tile + 2;
    alignas(64) Factor<bfloat16> members[side * side][2][16];
    for (int64 channel = 0; channel < channels; ++channel) {
        const int64 quad = channel / 4, member = channel % 4;
        const int up = static_cast<int>(24 - 8 * member);
        for (int out = 0; out < 16; out += lanes) {
            vf taps[3][3], changed[side][side];
            const vf scale = load(scales + out);
            DALLE2_UNROLL for (int y = 0; y < 3; ++y)
                DALLE2_UNROLL for (int x = 0; x < 3; ++x) {
                    vq quads;
                    __builtin_memcpy(&quads, from + y * row + (x * channels / 4 + quad) * 64 + out * 4, sizeof quads);
                    taps[y][x] = __builtin_convertvector((quads << up) >> 24, vf) * scale;
                }
            winograd_transform_weights<Tile>(taps, changed);
            DALLE2_UNROLL for (int y = 0; y < side; ++y)
                DALLE2_UNROLL for (int x = 0; x < side; ++x)
                    store(&members[y * side + x][member % 2][out], changed[y][x]);
        }
        if (member % 2 == 1)
            for (int element = 0; element < side * side; ++element)
                pack_members(members[element][0], members[element][1], to + element * element_stride + channel / 2 * 32);
    }
}

// One tile's outputs, as far as they are in the picture, from products[element·element_stride + output]. What is added to
// them lies as y does, or is the same for all pixels.
template <class T, int Tile>
void winograd_output_tile(const float* products, int64 element_stride, const float* bias, const Added<T>& added, int64 columns,
                          T* y, int64 row_stride, int64 column_stride, int64 valid_rows, int64 valid_columns) {
    constexpr int side = Tile + 2;
    const int64 rows_wanted = std::min<int64>(Tile, valid_rows), columns_wanted = std::min<int64>(Tile, valid_columns);
    for (int64 c = 0; c < columns; c += lanes) {
        const Left left = {columns - c};
        const vf shift = bias == nullptr ? zero() : load(bias + c, left);
        vf half[Tile][side];
        DALLE2_UNROLL for (int x = 0; x < side; ++x) {
            vf column[side], changed[Tile];
            DALLE2_UNROLL for (int i = 0; i < side; ++i) column[i] = load(products + (i * side + x) * element_stride + c);
            winograd_output(column, changed);
            DALLE2_UNROLL for (int i = 0; i < Tile; ++i) half[i][x] = changed[i];
        }
        alignas(64) float results[Tile][Tile][lanes];
        DALLE2_UNROLL for (int i = 0; i < Tile; ++i) {
            vf changed[Tile];
            winograd_output(half[i], changed);
            DALLE2_UNROLL for (int j = 0; j < Tile; ++j) store(results[i][j], changed[j]);
        }
        for (int64 i = 0; i < rows_wanted; ++i)
            for (int64 j = 0; j < columns_wanted; ++j) {
                const int64 at = i * row_stride + j * column_stride + c;
                vf result = load(results[i][j]) + shift;
                if (added.data != nullptr) result = result + load(added.data + (added.per_picture ? c : at), left);
                store(y + at, result, left);
            }
    }
}

template <class T, class Weight, int Tile>
void winograd_block(const WinogradPlan<T, Weight>& plan, int64 task, char* scratch) {
    constexpr int side = Tile + 2, elements = side * side;
    const int64 block = task / plan.groups, group = task % plan.groups;
    const int64 first_picture = block / plan.strips * plan.pictures_per_block;
    const int64 pictures = std::min(plan.pictures_per_block, plan.batch - first_picture);
    const int64 first_row = block % plan.strips * plan.tile_rows_per_strip;
    const int64 rows = std::min(plan.tile_rows_per_strip, plan.tile_rows - first_row);
    const int64 tiles_per_picture = rows * plan.tile_columns, tiles = pictures * tiles_per_picture;
    using X = Factor<T>;
    const X** pointers = reinterpret_cast<const X**>(scratch);
    X* inputs = reinterpret_cast<X*>(scratch + plan.inputs_at);
    X* weights = reinterpret_cast<X*>(scratch + plan.weights_at);
    float* products = reinterpret_cast<float*>(scratch + plan.products_at);
    const MatrixUnit ready;

    // Picture, row and column of tile i of the block.
    struct Place {
        int64 picture, row, column;
    };
    const auto place = [&](int64 i) DALLE2_LAMBDA {
        return Place{first_picture + i / tiles_per_picture,
                     (first_row + i % tiles_per_picture / plan.tile_columns) * Tile, i % plan.tile_columns * Tile};
    };
    const int64 input_stride = plan.input_stride(tiles);
    for (int64 i = 0; i < tiles; ++i) {
        const Place at = place(i);
        const T* pixels[elements];
        for (int64 y = 0; y < side; ++y)
            for (int64 x = 0; x < side; ++x) {
                const int64 row = at.row + y - plan.pad_y, column = at.column + x - plan.pad_x;
                const bool inside = row >= 0 && row < plan.height && column >= 0 && column < plan.width;
                pixels[y * side + x] =
                    inside ? plan.x + ((at.picture * plan.height + row) * plan.width + column) * plan.channels : plan.zeros;
            }
        winograd_input_tile<T, Tile>(pixels, plan.channels, inputs + i * plan.channels, input_stride);
    }

    GemmTile<X, X> t{};
    t.taps = 1;
    t.steps = plan.channels / pair_size<X>;
    t.panel_stride = plan.channels * panel_width;
    const int64 end = std::min(plan.panels, (group + 1) * plan.panels_per_group);
    for (int64 panel = group * plan.panels_per_group; panel < end;) {
        const int64 count = next_panels(end - panel, most_panels(std::min(tiles, plan.tiles_at_once))), tile_rows = rows_of_panels[count];
        const auto kernel = gemm_tile_of<X, X>(count);
        const int64 column = panel * panel_width, width = count * panel_width;
        const int64 weight_stride = plan.weight_stride(count), product_stride = plan.product_stride(count);
        for (int64 i = 0; i < count; ++i)
            winograd_weight_panel<Tile>(plan.w + (panel + i) * plan.panel_stride, plan.run * panel_width, plan.channels,
                                        plan.column_scales ? plan.column_scales + (panel + i) * panel_width : nullptr, weights + i * t.panel_stride,
                                        weight_stride);
        t.partial_stride = width;
        for (int64 first = 0; first < tiles; first += plan.tiles_at_once) {
            const int64 some = std::min(plan.tiles_at_once, tiles - first);
            for (int64 i = 0; i < some + plan.most_rows; ++i)
                pointers[i] = inputs + (first + std::min(i, some - 1)) * plan.channels;
            for (int64 element = 0; element < elements; ++element) {
                t.x_offset = element * input_stride;
                t.w = weights + element * weight_stride;
                // Each tile fetches the inputs of the next element.
                const bool fetches = in_assembly<X> && element + 1 < elements;
                t.ahead_stride = fetches ? tile_rows * static_cast<int64>(sizeof(X)) * inputs_per_fetch<X> : 0;
                for (int64 m = 0; m < some; m += tile_rows) {
                    t.rows = pointers + m;
                    t.valid_rows = std::min(tile_rows, some - m);
                    t.partial = products + element * product_stride + m * width;
                    t.ahead = fetches ? reinterpret_cast<const char*>(t.rows[0] + t.x_offset + input_stride) : nullptr;
                    kernel(t);
                }
            }
            for (int64 i = 0; i < some; ++i) {
                const Place at = place(first + i);
                const int64 result =
                    ((at.picture * plan.out_height + at.row) * plan.out_width + at.column) * plan.out_channels + column;
                Added<T> added = plan.added;
                if (added.data != nullptr) added.data += added.per_picture ? at.picture * plan.out_channels + column : result;
                winograd_output_tile<T, Tile>(
                    products + i * width, product_stride, plan.bias ? plan.bias + column : nullptr, added,
                    std::min(width, plan.out_channels - column), plan.y + result,
                    plan.out_width * plan.out_channels, plan.out_channels, plan.out_height - at.row,
                    plan.out_width - at.column);
            }
        }
        panel += count;
    }
}

template <class T, class Weight>
void winograd_task(const WinogradPlan<T, Weight>& plan, int64 task, char* scratch) {
    if (plan.tile == 2)
        winograd_block<T, Weight, 2>(plan, task, scratch);
    else
        winograd_block<T, Weight, 4>(plan, task, scratch);
}

// With T = bfloat16.
template <class T>
Int8WinogradTask int8_winograd_task() {
    return winograd_task<T, std::int8_t>;
}
