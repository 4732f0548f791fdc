// Element-wise operations, sums, pooling and conversions on vectors.
#pragma once

#include <algorithm>

#include <dalle2/kernels/plain_elementwise.hpp>
#include <dalle2/kernels/simd.hpp>

namespace dalle2::kernels::fast {

using plain::for_blocks;

// Calls body(first, count) for fixed pieces of rows of `width` elements.
template <class Body>
void for_rows(int64 rows, int64 width, const Body& body) {
    const int64 block = std::max<int64>(1, plain::block_size / std::max<int64>(1, width));
    parallel_for((rows + block - 1) / block, [&](int64 task, int) {
        body(task * block, std::min(block, rows - task * block));
    });
}

template <class T>
void activate(Activation kind, int64 n, const T* x, T* y) {
    const auto kernel = vector_kernels<T>().activate;
    for_blocks(n, [&](int64 begin, int64 end) { kernel(kind, end - begin, x + begin, y + begin); });
}

template <class T>
void activate_backward(Activation kind, int64 n, const T* x, const T* dy, T* dx) {
    const auto kernel = vector_gradients<T>().activate_backward;
    for_blocks(n, [&](int64 begin, int64 end) {
        kernel(kind, end - begin, x + begin, dy + begin, dx + begin);
    });
}

template <class T>
void add(int64 n, const T* a, const T* b, T* y) {
    const auto kernel = vector_kernels<T>().add;
    for_blocks(
        n, [&](int64 begin, int64 end) { kernel(end - begin, a + begin, b + begin, y + begin); });
}

template <class T>
void add_repeated(int64 outer, int64 inner, const T* a, const T* b, T* y) {
    const auto kernel = vector_kernels<T>().add_rows;
    for_rows(outer, inner, [&](int64 first, int64 count) {
        kernel(count, inner, a + first * inner, b, y + first * inner);
    });
}

template <class T>
void sum_repeated(int64 outer, int64 inner, const T* dy, T* db) {
    const auto kernel = vector_gradients<T>().sum_rows;
    constexpr int64 block = 256;
    parallel_for((inner + block - 1) / block, [&](int64 task, int) {
        const int64 first = task * block;
        kernel(outer, inner, std::min(block, inner - first), dy + first, db + first);
    });
}

template <class T>
void add_per_channel(int64 batch, int64 pixels, int64 channels, const T* x, const T* v, T* y) {
    const auto kernel = vector_kernels<T>().add_rows;
    const int64 block = std::max<int64>(1, plain::block_size / std::max<int64>(1, channels));
    const int64 blocks = (pixels + block - 1) / block;
    parallel_for(batch * blocks, [&](int64 task, int) {
        const int64 b = task / blocks, first = task % blocks * block;
        const int64 at = (b * pixels + first) * channels;
        kernel(std::min(block, pixels - first), channels, x + at, v + b * channels, y + at);
    });
}

template <class T>
void sum_per_channel(int64 batch, int64 pixels, int64 channels, const T* dy, T* dv) {
    const auto kernel = vector_gradients<T>().sum_rows;
    parallel_for(batch, [&](int64 b, int) {
        kernel(pixels, channels, channels, dy + b * pixels * channels, dv + b * channels);
    });
}

template <class T>
void scale(int64 n, double factor, const T* x, T* y) {
    const auto kernel = vector_kernels<T>().scale;
    for_blocks(n, [&](int64 begin, int64 end) {
        kernel(end - begin, static_cast<float>(factor), x + begin, y + begin);
    });
}

template <class T>
void average_pool2(int64 batch, int64 height, int64 width, int64 channels, const T* x, T* y) {
    const auto kernel = vector_kernels<T>().sum_quads;
    const int64 rows = height / 2, columns = width / 2;
    parallel_for(batch * rows, [&](int64 row, int) {
        const T* upper = x + (row / rows * height + row % rows * 2) * width * channels;
        kernel(columns, channels, 0.25f, upper, upper + width * channels,
               y + row * columns * channels);
    });
}

template <class T>
void average_pool2_backward(int64 batch, int64 height, int64 width, int64 channels, const T* dy,
                            T* dx) {
    const auto kernel = vector_gradients<T>().spread_pairs;
    const int64 rows = height / 2, columns = width / 2;
    parallel_for(batch * height, [&](int64 row, int) {
        const int64 from = row % height / 2;
        T* to = dx + row * width * channels;
        T* end = to + width * channels;
        if (from < rows) {
            kernel(columns, channels, 0.25f, dy + (row / height * rows + from) * columns * channels,
                   to);
            to += 2 * columns * channels;
        }
        std::fill(to, end, T(0));
    });
}

template <class T>
void upsample_nearest2_backward(int64 batch, int64 height, int64 width, int64 channels, const T* dy,
                                T* dx) {
    const auto kernel = vector_kernels<T>().sum_quads;
    parallel_for(batch * height, [&](int64 row, int) {
        const T* upper = dy + row * 4 * width * channels;
        kernel(width, channels, 1.0f, upper, upper + 2 * width * channels,
               dx + row * width * channels);
    });
}

template <class T>
void convert_from_float(int64 n, const float* x, T* y) {
    const auto kernel = vector_kernels<T>().from_float;
    for_blocks(n, [&](int64 begin, int64 end) { kernel(end - begin, x + begin, y + begin); });
}

template <class T>
void convert_to_float(int64 n, const T* x, float* y) {
    const auto kernel = vector_kernels<T>().to_float;
    for_blocks(n, [&](int64 begin, int64 end) { kernel(end - begin, x + begin, y + begin); });
}

}  // namespace dalle2::kernels::fast
