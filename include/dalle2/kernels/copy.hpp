// Moving elements without arithmetic.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <dalle2/kernels/isa.hpp>
#include <dalle2/kernels/parallel.hpp>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace dalle2::kernels {

namespace detail {

// Whole lines to memory past the caches, which then need not read what is overwritten; before
// others read them, fence_copies.
#if defined(__SSE2__)
inline constexpr bool copies_past = true;
inline void copy_past(const void* from, int64 bytes, void* to) {
    const auto* source = static_cast<const __m128i*>(from);
    auto* target = static_cast<__m128i*>(to);
    for (const __m128i* end = source + bytes / 16; source < end; ++source, ++target)
        _mm_stream_si128(target, _mm_loadu_si128(source));
}
inline void fence_copies() { _mm_sfence(); }
#else
inline constexpr bool copies_past = false;
inline void copy_past(const void*, int64, void*) {}
inline void fence_copies() {}
#endif

}  // namespace detail

// Copies `runs` runs of `length` elements; run i begins at from[i·from_stride] and goes to
// to[i·to_stride].
template <class T>
void copy_runs(int64 runs, int64 length, const T* from, int64 from_stride, T* to, int64 to_stride) {
    constexpr int64 elements_per_task = 1 << 15, size = sizeof(T);
    const int64 runs_per_task = std::max<int64>(1, elements_per_task / std::max<int64>(length, 1));
    const int64 tasks = (runs + runs_per_task - 1) / runs_per_task;
    const auto are_lines = [](std::uintptr_t bytes) { return bytes % 64 == 0; };
    const bool past = detail::copies_past && current_isa() == Isa::amx &&
                      runs * length * size > kept_bytes &&
                      are_lines(static_cast<std::uintptr_t>(length * size)) &&
                      are_lines(static_cast<std::uintptr_t>(to_stride * size)) &&
                      are_lines(reinterpret_cast<std::uintptr_t>(to));
    parallel_for(tasks, [&](int64 task, int) {
        const int64 end = std::min(runs, (task + 1) * runs_per_task);
        for (int64 i = task * runs_per_task; i < end; ++i)
            if (past)
                detail::copy_past(from + i * from_stride, length * size, to + i * to_stride);
            else
                std::memcpy(static_cast<void*>(to + i * to_stride), from + i * from_stride,
                            static_cast<std::size_t>(length * size));
        if (past) detail::fence_copies();
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
