// Weights as whole numbers. Included inside a namespace and a target region.

// The factor that makes the largest of n weights 127; NaN when one of them is not finite.
DALLE2_INLINE float weight_scale(int64 n, const float* w) {
    vf most = zero(), finite = zero();
    int64 i = 0;
    const auto add = [&](vf a) DALLE2_LAMBDA {
        most = max(abs(a), most);
        finite = fma(a, zero(), finite);  // zero, or NaN
    };
    for (; i + lanes <= n; i += lanes) add(load(w + i));
    if (i < n) add(load(w + i, n - i));
    return sum(finite) == 0.0f ? std::max(largest(most) / 127.0f, std::numeric_limits<float>::min())
                               : std::numeric_limits<float>::quiet_NaN();
}

// Sixteen outputs of w [out, in, kernel_height, kernel_width]: packed, with their scales and sums.
template <class T>
void pack_int8_task(const float* w, const PackedLayout<T>& layout, int64 panel, T* to, float* scales,
                    std::int32_t* sums) {
    const int64 first = panel * panel_width, count = std::min(panel_width, layout.out - first);
    const int64 taps = layout.kernel_height * layout.kernel_width, stride = layout.in * taps;
    const int64 end = layout.kernel_width * layout.in;
    w += first * stride, scales += first, sums += first;
    to += panel * layout.panel_stride();
    alignas(64) float inverse[16], values[16];
    for (int64 o = 0; o < panel_width; ++o) {
        scales[o] = o < count ? weight_scale(stride, w + o * stride) : 0.0f;
        inverse[o] = o < count ? 1.0f / scales[o] : 0.0f;
        sums[o] = 0;
    }
    const vf top = set1(127.0f), bottom = set1(-127.0f);
    for (int64 y = 0; y < layout.kernel_height; ++y) {
        int64 x = 0, i = 0;
        for (int64 r = 0; r < layout.run(); r += pair_size<T>, to += panel_width * pair_size<T>)
            for (int64 member = 0; member < pair_size<T>; ++member) {
                if (r + member < end)
                    gather_outputs(w + i * taps + y * layout.kernel_width + x, stride, count, values);
                else
                    clear(values, 16);
                if (++i == layout.in) {
                    i = 0;
                    ++x;
                }
                for (int v = 0; v < 16; v += lanes)
                    store(values + v, min(max(round_to_integer(load(values + v) * load(inverse + v)), bottom), top));
                for (int64 o = 0; o < panel_width; ++o) {
                    to[o * pair_size<T> + member] = static_cast<T>(values[o]);
                    sums[o] += static_cast<std::int32_t>(values[o]);
                }
            }
    }
}

template <class T>
    requires std::is_same_v<T, std::int8_t>
VectorKernels<T> table() {
    return {.factor_size = sizeof(Factor<T>),
            .chunk = chunk_bytes,
            .spreads_rows = DALLE2_HAVE_AMX,
            .conv_task = conv_task<T>,
            .extremes = extremes_of<bfloat16>,
            .pack_task = pack_int8_task<T>};
}
