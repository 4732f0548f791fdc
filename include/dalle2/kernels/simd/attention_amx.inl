// Attention by AMX, where all queries may look at the same keys, the other way round: a tile of scores has sixteen keys by sixteen queries, so
// that maxima and sums of a softmax, one query in each lane, need no step from lane to lane. Scores of some keys at a time
// stay in the first-level cache; what came of the keys before is corrected where a larger score turns up (Milakov and
// Gimelshein 2018, "Online normalizer calculation for softmax"). Included inside a namespace and a target region.

// to [width][padded] = from [count, width], `stride` apart; zeros where there is no row.
template <std::same_as<bfloat16> T>
DALLE2_APART void turn_rows(const T* from, int64 stride, int64 count, int64 width, int64 padded, T* to) {
    alignas(64) float square[16][16], turned[16][16];
    for (int64 row = 0; row < padded; row += 16)
        for (int64 column = 0; column < width; column += 32) {
            for (int64 i = 0; i < 16; ++i) {
                if (row + i < count)
                    std::memcpy(square[i], from + (row + i) * stride + column, sizeof square[i]);
                else
                    std::memset(square[i], 0, sizeof square[i]);
            }
            turn_square(square, turned);
            for (int64 i = 0; i < 16; ++i) {
                const vi pairs = _mm512_load_si512(turned[i]);
                T* at = to + (column + 2 * i) * padded + row;
                for (const auto& [words, place] : {std::pair{pairs, at}, {_mm512_srli_epi32(pairs, 16), at + padded}})
                    _mm256_storeu_si256(reinterpret_cast<__m256i*>(place), _mm512_cvtepi32_epi16(words));
            }
        }
}

// Two keys' probabilities for sixteen queries, as a product takes them.
DALLE2_INLINE void store_key_pair(bfloat16* to, vf first, vf second) {
    // The words 0, 16, 1, 17, 2, 18 and so on.
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i places = _mm512_add_epi32(_mm512_mullo_epi32(lane, _mm512_set1_epi32(0x10001)), _mm512_set1_epi32(0x100000));
    const __m512bh both = _mm512_cvtne2ps_pbh(second, first);
    _mm512_store_si512(to, _mm512_permutexvar_epi16(places, reinterpret_cast<const __m512i&>(both)));
}

// scores [panel][key][16] of some keys for the queries of one panel, or two: 32 keys at a time, and room for as many. Keys are
// `stride` elements apart, but for the last that are less than sixteen.
template <bool Second, std::same_as<bfloat16> T>
DALLE2_APART void multiply_keys(const AttentionColumns<T>& w, const T* keys, int64 stride, int64 count, int64 panel_stride) {
    asm volatile("" ::: "memory");
    constexpr int64 tile = 16 * 32;
    struct Rows {
        const T* at;
        int64 bytes;
    };
    const auto rows = [&](int64 key) DALLE2_LAMBDA {
        if (key + 16 <= count) return Rows{keys + key * stride, stride * static_cast<int64>(sizeof(T))};
        return Rows{w.last_keys, AttentionColumns<T>::head_width * static_cast<int64>(sizeof(T))};
    };
    for (int64 key = 0; key < count; key += 32) {
        const Rows upper = rows(key), lower = rows(key + 16);
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (int64 step = 0; step < 2; ++step) {
            _tile_loadd(4, upper.at + 32 * step, upper.bytes);
            _tile_loadd(6, w.queries + step * tile, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(5, lower.at + 32 * step, lower.bytes);
            _tile_dpbf16ps(2, 5, 6);
            if constexpr (Second) {
                _tile_loadd(7, w.queries + (2 + step) * tile, 64);
                _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(3, 5, 7);
            }
        }
        float* to = w.scores + key * lanes;
        _tile_stored(0, to, 64);
        _tile_stored(2, to + 16 * lanes, 64);
        if constexpr (Second) {
            _tile_stored(1, to + panel_stride, 64);
            _tile_stored(3, to + panel_stride + 16 * lanes, 64);
        }
    }
    asm volatile("" ::: "memory");
}

// sums [panel][channel][16] of values, which have `values_stride` keys, times the probabilities of `count` keys.
template <bool Second, std::same_as<bfloat16> T>
DALLE2_APART void multiply_values(const AttentionColumns<T>& w, const T* values, int64 values_stride, int64 count, bool add,
                                  int64 panel_stride) {
    constexpr int64 sums_of_panel = AttentionColumns<T>::head_width * 16;
    const int64 stride = values_stride * static_cast<int64>(sizeof(T));
    asm volatile("" ::: "memory");
    for (int64 channel = 0; channel < AttentionColumns<T>::head_width; channel += 32) {
        float* sums = w.sums + channel * 16;
        if (add) {
            _tile_loadd(0, sums, 64);
            _tile_loadd(2, sums + 256, 64);
            if constexpr (Second) {
                _tile_loadd(1, sums + sums_of_panel, 64);
                _tile_loadd(3, sums + sums_of_panel + 256, 64);
            }
        } else {
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
        }
        const T* from = values + channel * values_stride;
        const T* probabilities = w.probabilities;
        for (int64 key = 0; key < count; key += 32, from += 32, probabilities += 16 * 32) {
            _tile_loadd(4, from, stride);
            _tile_loadd(6, probabilities, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(5, from + 16 * values_stride, stride);
            _tile_dpbf16ps(2, 5, 6);
            if constexpr (Second) {
                _tile_loadd(7, probabilities + panel_stride, 64);
                _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(3, 5, 7);
            }
        }
        _tile_stored(0, sums, 64);
        _tile_stored(2, sums + 256, 64);
        if constexpr (Second) {
            _tile_stored(1, sums + sums_of_panel, 64);
            _tile_stored(3, sums + sums_of_panel + 256, 64);
        }
    }
    asm volatile("" ::: "memory");
}

// What a softmax knows of sixteen queries after some of their keys: the largest scores, and the sums of all probabilities but
// for the division by them.
struct SoftmaxColumns {
    vf top, sum;
};

// scores [count][16] = scale · scores + mask [count].
DALLE2_INLINE void mask_columns(const float* mask, int64 count, float scale, float* scores) {
    for (int64 key = 0; key < count; ++key)
        store(scores + key * lanes, fma(load(scores + key * lanes), set1(scale), set1(mask[key])));
}

// Probabilities, but for that division, of `count` more keys, with zeros up to `padded` ones, from their scores. Returns what
// all that came of the keys before is to be multiplied by.
template <std::same_as<bfloat16> T>
DALLE2_INLINE vf softmax_columns(const float* scores, int64 count, int64 padded, float scale, SoftmaxColumns& state,
                                 T* probabilities) {
    constexpr float log2_of_e = 1.44269504f;
    vf most[4] = {state.top, state.top, state.top, state.top};
    int64 key = 0;
    for (; key + 4 <= count; key += 4)
        DALLE2_UNROLL for (int i = 0; i < 4; ++i) most[i] = max(most[i], load(scores + (key + i) * lanes));
    for (; key < count; ++key) most[0] = max(most[0], load(scores + key * lanes));
    const vf top = max(max(most[0], most[1]), max(most[2], most[3]));

    // Where a mask hides all keys so far, infinity minus infinity would be no number.
    const __mmask16 seen = _mm512_cmp_ps_mask(top, set1(-std::numeric_limits<float>::infinity()), _CMP_NEQ_UQ);
    const vf base = _mm512_maskz_mov_ps(seen, top), factor = set1(scale * log2_of_e), shift = zero() - base * factor;
    const auto probability = [=](int64 at) DALLE2_LAMBDA {
        return power_of_two<T>(fma(load(scores + at * lanes), factor, shift));
    };
    vf even = zero(), odd = zero();
    for (key = 0; key + 2 <= count; key += 2) {
        const vf first = probability(key), second = probability(key + 1);
        store_key_pair(probabilities + key * lanes, first, second);
        even = even + first;
        odd = odd + second;
    }
    if (key < count) {
        const vf last = probability(key);
        store_key_pair(probabilities + key * lanes, last, zero());
        even = even + last;
        key += 2;
    }
    if (key < padded) clear(probabilities + key * lanes, (padded - key) * lanes);
    const vf correction = power_of_two<T>((state.top - base) * factor);
    state = {top, fma(state.sum, correction, even + odd)};
    return correction;
}

// See AttentionPlan::by_columns.
template <std::same_as<bfloat16> T>
void attention_columns_task(const AttentionPlan<T>& p, int64 task, char* scratch) {
    constexpr int64 width = AttentionColumns<T>::head_width;
    const AttentionShape& s = p.shape;
    const AttentionColumns<T> w(p, {scratch});
    const MatrixUnit ready;
    const int64 head = task / p.tasks_per_head % s.heads, b = task / p.tasks_per_head / s.heads;
    const int64 stride = s.width(), offset = head * width;
    const T* keys = p.k + b * s.keys * stride + offset;
    const float* mask = mask_row(p, b, 0);
    const float scale = mask ? 1.0f : p.scale;  // what scores are still to be multiplied by once a mask was added
    turn_rows(p.v + b * s.keys * stride + offset, stride, s.keys, width, p.keys, w.values);
    const int64 whole_keys = s.keys / 16 * 16;
    clear(w.last_keys, 16 * width);
    for (int64 key = whole_keys; key < s.keys; ++key)
        std::memcpy(static_cast<void*>(w.last_keys + (key - whole_keys) * width), keys + key * stride, width * sizeof(T));

    const int64 scores_of_panel = p.keys_at_once * lanes, first_block = task % p.tasks_per_head * p.blocks_per_task;
    for (int64 block = first_block; block < std::min(p.blocks, first_block + p.blocks_per_task); ++block) {
        const int64 first = block * p.block, count = std::min(p.block, s.queries - first);
        const int64 at = (b * s.queries + first) * stride + offset;
        const bool second = count > 16;
        pack_rows(p.q + at, stride, count, width, w.queries);
        SoftmaxColumns states[2];
        for (SoftmaxColumns& state : states) state = {set1(-std::numeric_limits<float>::infinity()), zero()};
        for (int64 key = 0; key < s.keys; key += p.keys_at_once) {
            const int64 some = std::min(p.keys_at_once, s.keys - key), padded = (some + 31) / 32 * 32;
            const auto multiply = second ? multiply_keys<true, T> : multiply_keys<false, T>;
            multiply(w, keys + key * stride, stride, some, scores_of_panel);
            for (int64 panel = 0; panel <= second; ++panel) {
                const int64 of_panel = panel * scores_of_panel;
                if (mask) mask_columns(mask + key, some, p.scale, w.scores + of_panel);
                const vf correction = softmax_columns(w.scores + of_panel, some, padded, scale, states[panel],
                                                      w.probabilities + of_panel);
                float* sums = w.sums + panel * width * lanes;
                if (key > 0)
                    for (int64 i = 0; i < width * lanes; i += lanes) store(sums + i, load(sums + i) * correction);
            }
            const auto multiply_on = second ? multiply_values<true, T> : multiply_values<false, T>;
            multiply_on(w, w.values + key, p.keys, padded, key > 0, scores_of_panel);
        }
        for (int64 panel = 0; panel <= second; ++panel) {
            // A query that may look nowhere sees zero, not NaN.
            const __mmask16 sees = _mm512_cmp_ps_mask(states[panel].sum, zero(), _CMP_NEQ_UQ);
            const vf inverse = _mm512_maskz_div_ps(sees, set1(1.0f), states[panel].sum);
            const int64 rows = std::min<int64>(16, count - panel * 16);
            for (int64 channel = 0; channel < width; channel += 16) {
                alignas(64) float square[16][16], turned[16][16];
                for (int64 i = 0; i < 16; ++i)
                    store(square[i], load(w.sums + (panel * width + channel + i) * lanes) * inverse);
                turn_square(square, turned);
                for (int64 row = 0; row < rows; ++row)
                    store(p.y + at + (panel * 16 + row) * stride + channel, load(turned[row]));
            }
            if (p.log_sum_exp == nullptr) continue;
            float tops[16], sums[16];
            store(tops, states[panel].top);
            store(sums, states[panel].sum);
            float* to = p.log_sum_exp + (b * s.heads + head) * s.queries + first + panel * 16;
            for (int64 row = 0; row < rows; ++row) to[row] = tops[row] * scale + std::log(sums[row]);
        }
    }
}

template <std::same_as<bfloat16> T>
void attention_any_task(const AttentionPlan<T>& p, int64 task, char* scratch) {
    p.by_columns ? attention_columns_task(p, task, scratch) : attention_task(p, task, scratch);
}
