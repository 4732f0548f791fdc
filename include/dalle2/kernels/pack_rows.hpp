// Packing of weights as they come from a file: each thread reads the rows of a few outputs, as
// floats, and packs them while they are in its cache. No float copy of a whole weight is made.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/core/finite.hpp>
#include <dalle2/kernels/kernels.hpp>

namespace dalle2::kernels {

// Writes the values of rows [first, first + count) of a tensor [rows, ...] to `values`. Called from
// several threads at once; must not throw.
using RowReader = std::function<void(int64 first, int64 count, float* values)>;

// For T = float or bfloat16: packs weights [out, in, kernel_height, kernel_width], whose rows
// `read` gives. Adds the number of values that are not finite to `not_finite`.
template <class T>
PackedWeights<T> pack_rows(const PackedLayout<T>& layout, const RowReader& read,
                           int64& not_finite) {
    const BufferPool::Outside outside;  // weights stay
    AlignedBuffer<T> buffer(layout.size());
    const int64 width = layout.in * layout.kernel_height * layout.kernel_width;
    const int64 panels = layout.panels();
    std::vector<std::vector<float>> rows(static_cast<std::size_t>(thread_count()));
    for (std::vector<float>& values : rows)
        values.resize(static_cast<std::size_t>(panel_width * width));
    std::vector<int64> bad(static_cast<std::size_t>(panels));
    const auto pack_panel = vector_kernels<T>().pack_task;
    parallel_for(panels, [&](int64 panel, int thread) {
        float* const values = rows[static_cast<std::size_t>(thread)].data();
        const int64 first = panel * panel_width, count = std::min(panel_width, layout.out - first);
        read(first, count, values);
        bad[static_cast<std::size_t>(panel)] = count_not_finite(count * width, values);
        PackedLayout<T> one = layout;
        one.out = count;
        pack_panel(PackSource<T>{values, one, false}, buffer.get() + panel * layout.panel_stride(),
                   0);
    });
    for (const int64 count : bad) not_finite += count;
    return {layout, std::move(buffer)};
}

}  // namespace dalle2::kernels
