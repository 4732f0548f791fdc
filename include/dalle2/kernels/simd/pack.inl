// Packing of weights. Included inside a namespace and a target region.

template <class T>
void pack_task(const PackSource<T>& source, T* to, int64 panel) {
    constexpr int64 pair = pair_size<T>;
    const PackedLayout<T>& layout = source.layout;
    const int64 first = panel * panel_width, count = std::min(panel_width, layout.out - first);
    const int64 stride = source.out_stride(), end = layout.kernel_width * layout.in;
    const float* w = source.w + first * stride;
    to += panel * layout.panel_stride();
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
