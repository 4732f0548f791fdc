// Moving elements without arithmetic.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include <dalle2/kernels/parallel.hpp>

namespace dalle2::kernels {

// Copies `runs` runs of `length` elements; run i begins at from[i·from_stride] and goes to
// to[i·to_stride].
template <class T>
void copy_runs(int64 runs, int64 length, const T* from, int64 from_stride, T* to, int64 to_stride) {
    constexpr int64 elements_per_task = 1 << 15;
    const int64 runs_per_task = std::max<int64>(1, elements_per_task / std::max<int64>(length, 1));
    const int64 tasks = (runs + runs_per_task - 1) / runs_per_task;
    parallel_for(tasks, [&](int64 task, int) {
        const int64 end = std::min(runs, (task + 1) * runs_per_task);
        for (int64 i = task * runs_per_task; i < end; ++i)
            std::memcpy(static_cast<void*>(to + i * to_stride), from + i * from_stride,
                        static_cast<std::size_t>(length) * sizeof(T));
    });
}

// y [batch, columns, rows] from x [batch, rows, columns].
template <class T>
void transpose(int64 batch, int64 rows, int64 columns, const T* x, T* y) {
    for (int64 b = 0; b < batch; ++b)
        for (int64 row = 0; row < rows; ++row)
            for (int64 column = 0; column < columns; ++column)
                y[(b * columns + column) * rows + row] = x[(b * rows + row) * columns + column];
}

}  // namespace dalle2::kernels
