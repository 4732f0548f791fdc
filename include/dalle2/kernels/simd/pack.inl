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
            for (int64 o = 0; o < 16; ++o)
                for (int v = 0; v < 16; v += lanes) store(&square[o][v], load(w + o * stride + input * taps + first + v));
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

template <class T>
void pack_task(const PackSource<T>& source, T* to, int64 panel) {
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
