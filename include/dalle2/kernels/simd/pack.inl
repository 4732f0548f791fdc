// Packing of weights. Included inside a namespace and a target region.

// Inputs that are packed together, where none are left over: see pack_whole_panel.
inline constexpr int64 whole_inputs = 16, most_whole_taps = 9;

// Sixteen outputs of w [16, in, kernel_height, kernel_width], sixteen inputs at a time: in squares of sixteen outputs by
// sixteen numbers that are neighbours in memory, so that each is read once, and a whole cache line of them.
template <class T>
DALLE2_APART void pack_whole_panel(const float* w, const PackedLayout<T>& layout, T* to) {
    constexpr int64 pair = pair_size<T>;
    const int64 taps = layout.kernel_height * layout.kernel_width, stride = layout.in * taps;
    alignas(64) T rows[whole_inputs * most_whole_taps][16];  // [input][tap][output]
    for (int64 input = 0; input < layout.in; input += whole_inputs) {
        for (int64 first = 0; first < whole_inputs * taps; first += 16) {
            alignas(64) float square[16][16], turned[16][16];
            for (int64 o = 0; o < 16; ++o) {
                const float* from = w + o * stride + input * taps + first;
                __builtin_prefetch(from + 128);
                for (int v = 0; v < 16; v += lanes) store(&square[o][v], load(from + v));
            }
            turn_square(square, turned);
            for (int64 i = 0; i < 16; ++i)
                for (int v = 0; v < 16; v += lanes) store(&rows[first + i][v], load(&turned[i][v]));
        }
        for (int64 tap = 0; tap < taps; ++tap) {
            T* at = to + layout.index(0, input, tap / layout.kernel_width, tap % layout.kernel_width);
            for (int64 i = 0; i < whole_inputs; i += pair)
                pack_pairs(rows[i * taps + tap], rows[(i + pair - 1) * taps + tap], 16, at + i * panel_width);
        }
    }
}

// Some inputs of transposed weights, in all panels. Outputs of an input are neighbours in memory, with all of their taps.
template <class T>
DALLE2_APART void pack_transposed_inputs(const PackSource<T>& source, int64 first, T* to) {
    constexpr int64 pair = pair_size<T>, most = panel_width * PackSource<T>::most_taps_by_inputs;
    const PackedLayout<T>& layout = source.layout;
    const int64 taps = source.taps(), stride = source.in_stride(), count = panel_width * taps;
    const int64 ahead = count * std::max<int64>(1, 8 / taps);
    alignas(64) T rows[2][most], pairs[most * pair];
    alignas(64) float words[most], line[panel_width];  // of a pair each
    static_assert(sizeof words == sizeof pairs);
    // What comes next is fetched meanwhile: rows are too far apart, and a panel's part of them too short, for a processor to
    // see it coming.
    for (int64 panel = 0; panel < layout.panels(); ++panel)
        for (int64 input = first; input < first + source.inputs_at_once; input += pair) {
            const float* from = source.w + input * stride + panel * count;
            for (int64 member = 0; member < pair; ++member, from += stride)
                for (int64 i = 0; i < count; i += lanes) {
                    __builtin_prefetch(from + ahead + i);
                    store(rows[member] + i, load(from + i));
                }
            pack_pairs(rows[0], rows[pair - 1], count, pairs);
            __builtin_memcpy(words, static_cast<const void*>(pairs), static_cast<std::size_t>(count) * sizeof(float));
            for (int64 tap = 0; tap < taps; ++tap) {
                const float* mirrored = words + taps - 1 - tap;
                for (int v = 0; v < 16; v += lanes)
                    store(line + v, taps == 1 ? load(mirrored + v) : load_strided(mirrored + v * taps, taps));
                T* at = to + layout.index(panel * panel_width, input, tap / layout.kernel_width, tap % layout.kernel_width);
                __builtin_memcpy(static_cast<void*>(at), line, sizeof line);
            }
        }
}

// Packs one panel, or for PackSource::by_inputs some inputs.
template <class T>
void pack_task(const PackSource<T>& source, T* to, int64 task) {
    if (source.by_inputs()) return pack_transposed_inputs(source, task * source.inputs_at_once, to);
    const int64 panel = task;
    constexpr int64 pair = pair_size<T>;
    const PackedLayout<T>& layout = source.layout;
    const int64 first = panel * panel_width, count = std::min(panel_width, layout.out - first);
    const int64 stride = source.out_stride(), end = layout.kernel_width * layout.in;
    const float* w = source.w + first * stride;
    to += panel * layout.panel_stride();
    if (count == panel_width && !source.transposed && layout.in % whole_inputs == 0 && source.taps() <= most_whole_taps)
        return pack_whole_panel(w, layout, to);
    alignas(64) float values[2][16];
    alignas(64) T narrowed[2][16];
    for (int64 y = 0; y < layout.kernel_height; ++y) {
        int64 x = 0, i = 0;
        for (int64 r = 0; r < layout.run(); r += pair, to += panel_width * pair) {
            for (int64 member = 0; member < pair; ++member) {
                if (r + member < end)
                    gather_outputs(w + source.offset(0, i, y, x), stride, count, values[member]);
                else
                    clear(values[member], 16);
                if (++i == layout.in) {
                    i = 0;
                    ++x;
                }
                for (int v = 0; v < 16; v += lanes) store(&narrowed[member][v], load(&values[member][v]));
            }
            pack_pairs(narrowed[0], narrowed[1], 16, to);
        }
    }
}
