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

// Sixteen whole numbers from -127 to 127, as bytes: those of numbers that `inverse` times are nearest. Adds them to `sums`.
DALLE2_INLINE void to_signed_bytes(const float* from, vf inverse, vf& sums, std::int8_t* to) {
    const vf top = set1(127.0f), bottom = set1(-127.0f), offset = set1(128.0f);
    std::int16_t words[16];
    for (int i = 0; i < 16; i += lanes) {
        const vf whole = min(max(round_to_integer(load(from + i) * inverse), bottom), top);
        sums = sums + whole;
        store_whole(words + i, whole + offset);
    }
    for (int i = 0; i < 16; ++i) to[i] = static_cast<std::int8_t>(words[i] - 128);
}

// Sixteen outputs of w [out, in, kernel_height, kernel_width]: packed, with their scales and sums.
template <class T>
void pack_int8_task(const float* w, const PackedLayout<T>& layout, int64 panel, T* to, float* scales,
                    std::int32_t* sums) {
    constexpr int64 step = pair_size<T>;
    const int64 first = panel * panel_width, count = std::min(panel_width, layout.out - first);
    const int64 taps = layout.kernel_height * layout.kernel_width, stride = layout.in * taps;
    const int64 end = layout.kernel_width * layout.in;
    w += first * stride, scales += first, sums += first;
    to += panel * layout.panel_stride();
    if (count < panel_width || end < layout.run()) clear(to, layout.panel_stride());
    float inverse[16];
    vf totals[16];
    for (int64 o = 0; o < panel_width; ++o) {
        scales[o] = o < count ? weight_scale(stride, w + o * stride) : 0.0f;
        inverse[o] = o < count ? 1.0f / scales[o] : 0.0f;
        totals[o] = zero();
    }
    // Sixteen numbers of a run at a time, which in memory are `taps` apart, output by output.
    for (int64 y = 0; y < layout.kernel_height; ++y, to += layout.row_stride()) {
        int64 x = 0, i = 0;
        for (int64 r = 0; r < end; r += 16) {
            const int64 length = std::min<int64>(16, end - r);
            int64 offsets[16];
            for (int64 j = 0; j < length; ++j) {
                offsets[j] = i * taps + y * layout.kernel_width + x;
                if (++i == layout.in) i = 0, ++x;
            }
            for (int64 o = 0; o < count; ++o) {
                alignas(64) float values[16] = {};
                if (taps == 1 && length == 16)
                    for (int v = 0; v < 16; v += lanes) store(values + v, load(w + o * stride + r + v));
                else
                    for (int64 j = 0; j < length; ++j) values[j] = w[o * stride + offsets[j]];
                std::int8_t bytes[16];
                to_signed_bytes(values, set1(inverse[o]), totals[o], bytes);
                T* at = to + (r * panel_width + o * step);
                for (int64 j = 0; j < length; j += step) std::memcpy(at + j * panel_width, bytes + j, step);
            }
        }
    }
    // (Whole numbers, and too few of them to be rounded: see longest_int8_sum.)
    for (int64 o = 0; o < panel_width; ++o) sums[o] = static_cast<std::int32_t>(sum(totals[o]));
}

template <class T>
    requires std::is_same_v<T, std::int8_t>
VectorKernels<T> table() {
    return {.factor_size = sizeof(Factor<T>),
            .chunk = chunk_bytes,
            .has_tiles = DALLE2_HAVE_AMX,
            .conv_task = conv_task<T>,
            .extremes = extremes_of<bfloat16>,
            .pack_task = pack_int8_task<T>};
}
