// Linear layers and convolutions in plain loops, for every scalar type.
#pragma once

#include <algorithm>
#include <array>

#include <dalle2/kernels/packed_weights.hpp>
#include <dalle2/kernels/shapes.hpp>

namespace dalle2::kernels::plain {

// y [pixels, out] = x ∗ w + bias + added, where output pixel (oy, ox) meets input row oy·stride + y
// - pad_y for kernel row y.
template <class T>
void conv2d(const Conv2dShape& s, const T* x, const PackedWeights<T>& w, const Accumulator<T>* bias,
            T* y, const Added<T>& added) {
    using Acc = Accumulator<T>;
    const int64 out_height = s.out_height(), out_width = s.out_width();
    parallel_for(s.batch * out_height, [&](int64 row, int) {
        const int64 b = row / out_height, oy = row % out_height;
        for (int64 ox = 0; ox < out_width; ++ox) {
            const int64 result = (row * out_width + ox) * s.out_channels;
            T* to = y + result;
            const T* more = added.data == nullptr
                                ? nullptr
                                : added.data + (added.per_picture ? b * s.out_channels : result);
            for (int64 panel = 0; panel < w.layout().panels(); ++panel) {
                std::array<Acc, panel_width> sum{};
                for (int64 ky = 0; ky < s.kernel_height; ++ky) {
                    const int64 iy = oy * s.stride + ky - s.padding;
                    if (iy < 0 || iy >= s.height) continue;
                    for (int64 kx = 0; kx < s.kernel_width; ++kx) {
                        const int64 ix = ox * s.stride + kx - s.padding;
                        if (ix < 0 || ix >= s.width) continue;
                        const T* from = x + ((b * s.height + iy) * s.width + ix) * s.in_channels;
                        for (int64 i = 0; i < s.in_channels; ++i) {
                            const Acc value = static_cast<Acc>(from[i]);
                            const T* weights =
                                w.data() + w.layout().index(panel * panel_width, i, ky, kx);
                            for (std::size_t o = 0; o < panel_width; ++o)
                                sum[o] +=
                                    value *
                                    static_cast<Acc>(weights[static_cast<int64>(o) * pair_size<T>]);
                        }
                    }
                }
                for (int64 o = panel * panel_width;
                     o < std::min(s.out_channels, (panel + 1) * panel_width); ++o)
                    to[o] = static_cast<T>(sum[static_cast<std::size_t>(o % panel_width)] +
                                           (bias ? bias[o] : Acc(0)) +
                                           (more ? static_cast<Acc>(more[o]) : Acc(0)));
            }
        }
    });
}

template <class T>
void conv2d_input_gradient(const Conv2dShape& s, const T* dy, const PackedWeights<T>& transposed,
                           T* dx) {
    using Acc = Accumulator<T>;
    const int64 out_height = s.out_height(), out_width = s.out_width();
    parallel_for(s.batch * s.height, [&](int64 row, int) {
        const int64 b = row / s.height, iy = row % s.height;
        for (int64 ix = 0; ix < s.width; ++ix) {
            T* to = dx + (row * s.width + ix) * s.in_channels;
            for (int64 panel = 0; panel < transposed.layout().panels(); ++panel) {
                std::array<Acc, panel_width> sum{};
                for (int64 ky = 0; ky < s.kernel_height; ++ky) {
                    const int64 ty = iy + s.padding - ky;
                    if (ty < 0 || ty % s.stride != 0 || ty / s.stride >= out_height) continue;
                    for (int64 kx = 0; kx < s.kernel_width; ++kx) {
                        const int64 tx = ix + s.padding - kx;
                        if (tx < 0 || tx % s.stride != 0 || tx / s.stride >= out_width) continue;
                        const T* from =
                            dy + ((b * out_height + ty / s.stride) * out_width + tx / s.stride) *
                                     s.out_channels;
                        for (int64 o = 0; o < s.out_channels; ++o) {
                            const Acc value = static_cast<Acc>(from[o]);
                            const T* weights = transposed.data() +
                                               transposed.layout().index(panel * panel_width, o,
                                                                         s.kernel_height - 1 - ky,
                                                                         s.kernel_width - 1 - kx);
                            for (std::size_t i = 0; i < panel_width; ++i)
                                sum[i] +=
                                    value *
                                    static_cast<Acc>(weights[static_cast<int64>(i) * pair_size<T>]);
                        }
                    }
                }
                for (int64 i = panel * panel_width;
                     i < std::min(s.in_channels, (panel + 1) * panel_width); ++i)
                    to[i] = static_cast<T>(sum[static_cast<std::size_t>(i % panel_width)]);
            }
        }
    });
}

template <class T>
void conv2d_weight_gradient(const Conv2dShape& s, const T* x, const T* dy, Accumulator<T>* dw,
                            Accumulator<T>* dbias, bool add) {
    using Acc = Accumulator<T>;
    const int64 out_height = s.out_height(), out_width = s.out_width(),
                taps = s.kernel_height * s.kernel_width, each = taps * s.in_channels * 16;
    const AlignedBuffer<Acc> sums(thread_count() * each);
    parallel_for((s.out_channels + 15) / 16, [&](int64 panel, int thread) {
        const int64 begin = panel * 16, end = std::min(s.out_channels, begin + 16);
        Acc* const sum = sums.get() + thread * each;
        std::fill_n(sum, each, Acc(0));
        for (int64 b = 0; b < s.batch; ++b)
            for (int64 oy = 0; oy < out_height; ++oy)
                for (int64 ox = 0; ox < out_width; ++ox) {
                    const T* g = dy + ((b * out_height + oy) * out_width + ox) * s.out_channels;
                    Acc gradient[16] = {};
                    for (int64 o = begin; o < end; ++o) {
                        gradient[o - begin] = static_cast<Acc>(g[o]);
                        if (dbias) dbias[o] += gradient[o - begin];
                    }
                    for (int64 ky = 0; ky < s.kernel_height; ++ky) {
                        const int64 iy = oy * s.stride + ky - s.padding;
                        if (iy < 0 || iy >= s.height) continue;
                        for (int64 kx = 0; kx < s.kernel_width; ++kx) {
                            const int64 ix = ox * s.stride + kx - s.padding;
                            if (ix < 0 || ix >= s.width) continue;
                            const T* from =
                                x + ((b * s.height + iy) * s.width + ix) * s.in_channels;
                            Acc* to = sum + (ky * s.kernel_width + kx) * s.in_channels * 16;
                            for (int64 i = 0; i < s.in_channels; ++i)
                                for (int64 o = 0; o < 16; ++o)
                                    to[i * 16 + o] += static_cast<Acc>(from[i]) * gradient[o];
                        }
                    }
                }
        for (int64 o = begin; o < end; ++o)
            for (int64 i = 0; i < s.in_channels; ++i)
                for (int64 tap = 0; tap < taps; ++tap) {
                    Acc& to = dw[(o * s.in_channels + i) * taps + tap];
                    to = (add ? to : Acc(0)) + sum[(tap * s.in_channels + i) * 16 + o - begin];
                }
    });
}

}  // namespace dalle2::kernels::plain
