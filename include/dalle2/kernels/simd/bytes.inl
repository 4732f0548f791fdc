// Numbers as bytes, as products with int8 weights take them. Included inside a namespace and a target region.

// Sixteen-bit whole numbers: of a vector, and of a part of it.
typedef std::int16_t vh __attribute__((vector_size(4 * lanes)));
typedef std::int16_t vh8 __attribute__((vector_size(16)));

template <class V>
DALLE2_INLINE V smaller(V a, V b) {
    return a < b ? a : b;
}
template <class V>
DALLE2_INLINE V larger(V a, V b) {
    return a > b ? a : b;
}

DALLE2_INLINE Extremes extremes(int64 n, const bfloat16* x) {
    vh low{}, high{};
    int64 i = 0;
    for (; i + 2 * lanes <= n; i += 2 * lanes) {
        vh bits;
        __builtin_memcpy(&bits, x + i, sizeof bits);
        const vh order = bits ^ ((bits >> 15) & 0x7fff);
        low = smaller(order, low);
        high = larger(order, high);
    }
    vh8 lows[lanes / 4], highs[lanes / 4];
    __builtin_memcpy(lows, &low, sizeof low);
    __builtin_memcpy(highs, &high, sizeof high);
    vh8 a = lows[0], b = highs[0];
    DALLE2_UNROLL for (int part = 1; part < lanes / 4; ++part) {
        a = smaller(a, lows[part]);
        b = larger(b, highs[part]);
    }
    a = smaller(a, __builtin_shufflevector(a, a, 4, 5, 6, 7, 0, 1, 2, 3));
    b = larger(b, __builtin_shufflevector(b, b, 4, 5, 6, 7, 0, 1, 2, 3));
    a = smaller(a, __builtin_shufflevector(a, a, 2, 3, 0, 1, 6, 7, 4, 5));
    b = larger(b, __builtin_shufflevector(b, b, 2, 3, 0, 1, 6, 7, 4, 5));
    Extremes found = {std::min(a[0], a[1]), std::max(b[0], b[1])};
    for (; i < n; ++i) {
        std::int16_t bits;
        __builtin_memcpy(&bits, x + i, sizeof bits);
        const auto order = static_cast<std::int16_t>(bits < 0 ? bits ^ 0x7fff : bits);
        found.add({order, order});
    }
    return found;
}

// Of n numbers together.
template <class T>
Extremes extremes_of(int64 n, const T* x) {
    return extremes(n, x);
}

// NaN becomes zero. Rounding comes before the addition, so that every instruction set gives the same bytes.
template <class X>
DALLE2_INLINE void to_bytes(int64 n, const bfloat16* x, const ByteRange& range, X* to) {
    const vf inverse = set1(1.0f / range.scale), offset = set1(static_cast<float>(range.zero)), top = set1(255.0f);
    const auto byte = [&](vf a) DALLE2_LAMBDA { return min(max(round_to_integer(a * inverse) + offset, zero()), top); };
    int64 i = 0;
    for (; i + lanes <= n; i += lanes) store_whole(to + i, byte(load(x + i)));
    if (i == n) return;
    X last[lanes];
    store_whole(last, byte(load(x + i, n - i)));
    std::copy_n(last, n - i, to + i);
}

// The part of x that a task's windows lie in, and for each of its pixels what the bytes stand for.
template <class T, class X>
void copy_as_bytes(const ConvPlan<T>& plan, int64 first_picture, int64 pictures, int64 first_row, int64 rows,
                   int64 first_column, int64 columns, int64 pixels, X* to, ByteRange* ranges) {
    if (plan.picture_ranges == nullptr) {
        const bfloat16* x = plan.x + (first_picture * plan.height + first_row) * plan.width * plan.channels;
        for (int64 i = 0; i < pixels; ++i, x += plan.channels, to += plan.pixel_stride) {
            ranges[i] = byte_range(extremes(plan.channels, x));
            to_bytes(plan.channels, x, ranges[i], to);
        }
        std::fill_n(to, pair_size<T>, X(0));
        return;
    }
    for (int64 i = 0; i < pixels; ++i) ranges[i] = plan.picture_ranges[first_picture + i / (pixels / pictures)];
    copy_padded(
        plan, first_picture, pictures, first_row, rows, first_column, columns, to,
        [&](int64 picture, const bfloat16* from, int64 count, X* at) {
            to_bytes(count, from, plan.picture_ranges[picture], at);
        },
        [&](int64 picture, X* at, int64 count) {
            std::fill_n(at, count, static_cast<X>(plan.picture_ranges[picture].zero));
        });
}
