// Packing of weights as they come from a file: each thread reads the rows of a few outputs, as
// floats, and packs them while they are in its cache. No float copy of a whole weight is made.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/core/finite.hpp>
#include <dalle2/kernels/kernels.hpp>

namespace dalle2::kernels {

// Writes the values of rows [first, first + count) of a tensor [rows, ...] to `values`. Called from
// several threads at once; must not throw.
using RowReader = std::function<void(int64 first, int64 count, float* values)>;

// The rows of values that are in memory, for as long as they are.
inline RowReader rows_of(const float* values, int64 width) {
    return [=](int64 first, int64 count, float* to) {
        std::copy_n(values + first * width, count * width, to);
    };
}

namespace detail {

// Calls body(panel, values, rows) for each sixteen rows, or what is left of them, of a tensor
// [rows, width], with their values; from several threads at once. Returns how many of all values
// are not finite.
template <class Body>
int64 for_each_panel(int64 rows, int64 width, const RowReader& read, const Body& body) {
    const int64 panels = (rows + panel_width - 1) / panel_width;
    std::vector<std::vector<float>> buffers(static_cast<std::size_t>(thread_count()));
    for (std::vector<float>& values : buffers)
        values.resize(static_cast<std::size_t>(std::min(panel_width, rows) * width));
    std::vector<int64> bad(static_cast<std::size_t>(panels));
    parallel_for(panels, [&](int64 panel, int thread) {
        float* const values = buffers[static_cast<std::size_t>(thread)].data();
        const int64 first = panel * panel_width, count = std::min(panel_width, rows - first);
        read(first, count, values);
        bad[static_cast<std::size_t>(panel)] = count_not_finite(count * width, values);
        body(panel, values, count);
    });
    return std::accumulate(bad.begin(), bad.end(), int64{0});
}

template <class T>
int64 width_of_row(const PackedLayout<T>& layout) {
    return layout.in * layout.kernel_height * layout.kernel_width;
}
// Of some of its outputs.
template <class T>
PackedLayout<T> with_outputs(PackedLayout<T> layout, int64 count) {
    layout.out = count;
    return layout;
}

}  // namespace detail

// For T = float or bfloat16: packs weights [out, in, kernel_height, kernel_width], whose rows
// `read` gives. Adds the number of values that are not finite to `not_finite`.
template <class T>
PackedWeights<T> pack_rows(const PackedLayout<T>& layout, const RowReader& read,
                           int64& not_finite) {
    const BufferPool::Outside outside;  // weights stay
    AlignedBuffer<T> buffer(layout.size());
    const auto pack_panel = vector_kernels<T>().pack_task;
    not_finite += detail::for_each_panel(
        layout.out, detail::width_of_row(layout), read,
        [&](int64 panel, const float* values, int64 count) {
            pack_panel(PackSource<T>{values, detail::with_outputs(layout, count), false},
                       buffer.get() + panel * layout.panel_stride(), 0);
        });
    return {layout, std::move(buffer)};
}

// The same as pack_int8_weights makes of all rows. watch(first, count, values, scales) sees the
// rows and their scales, some at a time, from several threads.
template <class Watch>
Int8Weights pack_int8_rows(const PackedLayout<std::int8_t>& layout, const RowReader& read,
                           int64& not_finite, const Watch& watch) {
    const BufferPool::Outside outside;
    AlignedBuffer<std::int8_t> packed(layout.size());
    AlignedBuffer<float> scales(layout.panels() * panel_width);
    AlignedBuffer<std::int32_t> sums(layout.panels() * panel_width);
    const auto pack_panel = vector_kernels<std::int8_t>().pack_task;
    not_finite +=
        detail::for_each_panel(layout.out, detail::width_of_row(layout), read,
                               [&](int64 panel, const float* values, int64 count) {
                                   const int64 first = panel * panel_width;
                                   pack_panel(values, detail::with_outputs(layout, count), 0,
                                              packed.get() + panel * layout.panel_stride(),
                                              scales.get() + first, sums.get() + first);
                                   watch(first, count, values, scales.get() + first);
                               });
    return {{layout, std::move(packed)}, std::move(scales), std::move(sums)};
}
inline Int8Weights pack_int8_rows(const PackedLayout<std::int8_t>& layout, const RowReader& read,
                                  int64& not_finite) {
    return pack_int8_rows(layout, read, not_finite,
                          [](int64, int64, const float*, const float*) {});
}

}  // namespace dalle2::kernels
