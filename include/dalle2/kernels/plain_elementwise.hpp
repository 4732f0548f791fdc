// Element-wise operations, sums, pooling and conversions in plain loops, for every scalar type.
#pragma once

#include <algorithm>

#include <dalle2/kernels/plain_norm.hpp>

namespace dalle2::kernels::plain {

// Elements that one task of an element-wise operation takes.
inline constexpr int64 block_size = 16384;

// Calls body(begin, end) for fixed pieces of [0, n).
template <class Body>
void for_blocks(int64 n, const Body& body) {
    parallel_for((n + block_size - 1) / block_size, [&](int64 block, int) {
        body(block * block_size, std::min(n, (block + 1) * block_size));
    });
}

template <class T>
void activate_all(Activation kind, int64 n, const T* x, T* y) {
    for_blocks(n, [&](int64 begin, int64 end) {
        for (int64 i = begin; i < end; ++i)
            y[i] = static_cast<T>(activate(kind, static_cast<Accumulator<T>>(x[i])));
    });
}

template <class T>
void activate_backward(Activation kind, int64 n, const T* x, const T* dy, T* dx) {
    using Acc = Accumulator<T>;
    for_blocks(n, [&](int64 begin, int64 end) {
        for (int64 i = begin; i < end; ++i)
            dx[i] = static_cast<T>(static_cast<Acc>(dy[i]) *
                                   activation_derivative(kind, static_cast<Acc>(x[i])));
    });
}

template <class T>
void add(int64 n, const T* a, const T* b, T* y) {
    using Acc = Accumulator<T>;
    for_blocks(n, [&](int64 begin, int64 end) {
        for (int64 i = begin; i < end; ++i)
            y[i] = static_cast<T>(static_cast<Acc>(a[i]) + static_cast<Acc>(b[i]));
    });
}

// b [inner] is added to each of `outer` pieces of a.
template <class T>
void add_repeated(int64 outer, int64 inner, const T* a, const T* b, T* y) {
    using Acc = Accumulator<T>;
    parallel_for(outer, [&](int64 o, int) {
        for (int64 i = 0; i < inner; ++i)
            y[o * inner + i] =
                static_cast<T>(static_cast<Acc>(a[o * inner + i]) + static_cast<Acc>(b[i]));
    });
}

// db [inner] = the sum over `outer` pieces of dy.
template <class T>
void sum_repeated(int64 outer, int64 inner, const T* dy, T* db) {
    using Acc = Accumulator<T>;
    for_blocks(inner, [&](int64 begin, int64 end) {
        for (int64 i = begin; i < end; ++i) {
            Acc sum = 0;
            for (int64 o = 0; o < outer; ++o) sum += static_cast<Acc>(dy[o * inner + i]);
            db[i] = static_cast<T>(sum);
        }
    });
}

template <class T>
void add_per_channel(int64 batch, int64 pixels, int64 channels, const T* x, const T* v, T* y) {
    using Acc = Accumulator<T>;
    parallel_for(batch * pixels, [&](int64 p, int) {
        for (int64 c = 0; c < channels; ++c)
            y[p * channels + c] = static_cast<T>(static_cast<Acc>(x[p * channels + c]) +
                                                 static_cast<Acc>(v[p / pixels * channels + c]));
    });
}

template <class T>
void sum_per_channel(int64 batch, int64 pixels, int64 channels, const T* dy, T* dv) {
    using Acc = Accumulator<T>;
    parallel_for(batch, [&](int64 b, int) {
        for (int64 c = 0; c < channels; ++c) {
            Acc sum = 0;
            for (int64 p = 0; p < pixels; ++p)
                sum += static_cast<Acc>(dy[(b * pixels + p) * channels + c]);
            dv[b * channels + c] = static_cast<T>(sum);
        }
    });
}

template <class T>
void scale(int64 n, double factor, const T* x, T* y) {
    using Acc = Accumulator<T>;
    for_blocks(n, [&](int64 begin, int64 end) {
        for (int64 i = begin; i < end; ++i)
            y[i] = static_cast<T>(static_cast<Acc>(x[i]) * static_cast<Acc>(factor));
    });
}

// x [batch, height, width, channels] → y [batch, height/2, width/2, channels]; an odd edge is
// dropped.
template <class T>
void average_pool2(int64 batch, int64 height, int64 width, int64 channels, const T* x, T* y) {
    using Acc = Accumulator<T>;
    const int64 rows = height / 2, columns = width / 2;
    parallel_for(batch * rows, [&](int64 row, int) {
        const T* from = x + (row / rows * height + row % rows * 2) * width * channels;
        for (int64 column = 0; column < columns; ++column)
            for (int64 c = 0; c < channels; ++c) {
                const T* p = from + column * 2 * channels + c;
                y[(row * columns + column) * channels + c] = static_cast<T>(
                    Acc(0.25) * ((static_cast<Acc>(p[0]) + static_cast<Acc>(p[channels])) +
                                 (static_cast<Acc>(p[width * channels]) +
                                  static_cast<Acc>(p[(width + 1) * channels]))));
            }
    });
}

// dx [batch, height, width, channels] from dy [batch, height/2, width/2, channels].
template <class T>
void average_pool2_backward(int64 batch, int64 height, int64 width, int64 channels, const T* dy,
                            T* dx) {
    using Acc = Accumulator<T>;
    const int64 rows = height / 2, columns = width / 2;
    parallel_for(batch * height, [&](int64 row, int) {
        const int64 y = row % height / 2;
        T* to = dx + row * width * channels;
        for (int64 column = 0; column < width; ++column)
            for (int64 c = 0; c < channels; ++c)
                to[column * channels + c] =
                    y < rows && column / 2 < columns
                        ? static_cast<T>(
                              Acc(0.25) *
                              static_cast<Acc>(
                                  dy[((row / height * rows + y) * columns + column / 2) * channels +
                                     c]))
                        : T(0);
    });
}

// x [batch, height, width, channels] → y [batch, 2·height, 2·width, channels].
template <class T>
void upsample_nearest2(int64 batch, int64 height, int64 width, int64 channels, const T* x, T* y) {
    parallel_for(batch * height, [&](int64 row, int) {
        T* to = y + row * 4 * width * channels;
        for (int64 column = 0; column < width; ++column)
            for (int64 copy = 0; copy < 2; ++copy)
                std::copy_n(x + (row * width + column) * channels, channels,
                            to + (2 * column + copy) * channels);
        std::copy_n(to, 2 * width * channels, to + 2 * width * channels);
    });
}

// dx [batch, height, width, channels] from dy [batch, 2·height, 2·width, channels].
template <class T>
void upsample_nearest2_backward(int64 batch, int64 height, int64 width, int64 channels, const T* dy,
                                T* dx) {
    using Acc = Accumulator<T>;
    parallel_for(batch * height, [&](int64 row, int) {
        const T* from = dy + row * 4 * width * channels;
        for (int64 column = 0; column < width; ++column)
            for (int64 c = 0; c < channels; ++c) {
                const T* p = from + column * 2 * channels + c;
                dx[(row * width + column) * channels + c] =
                    static_cast<T>((static_cast<Acc>(p[0]) + static_cast<Acc>(p[channels])) +
                                   (static_cast<Acc>(p[2 * width * channels]) +
                                    static_cast<Acc>(p[(2 * width + 1) * channels])));
            }
    });
}

template <class From, class To>
void convert(int64 n, const From* x, To* y) {
    for_blocks(n, [&](int64 begin, int64 end) {
        for (int64 i = begin; i < end; ++i) y[i] = static_cast<To>(x[i]);
    });
}

}  // namespace dalle2::kernels::plain
