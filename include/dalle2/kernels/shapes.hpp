// The sizes that kernels take.
#pragma once

#include <cstdint>

#include <dalle2/core/activation.hpp>
#include <dalle2/kernels/parallel.hpp>

namespace dalle2::kernels {

// Of one side of a convolution's result.
inline int64 conv2d_extent(int64 in, int64 kernel, int64 stride, int64 padding) {
    return (in + 2 * padding - kernel) / stride + 1;
}

// x [batch, height, width, in_channels] → y [batch, out_height(), out_width(), out_channels].
struct Conv2dShape {
    int64 batch = 1, height = 1, width = 1, in_channels = 1, out_channels = 1;
    int64 kernel_height = 1, kernel_width = 1, stride = 1, padding = 0;

    int64 out_height() const { return conv2d_extent(height, kernel_height, stride, padding); }
    int64 out_width() const { return conv2d_extent(width, kernel_width, stride, padding); }
};

// Of a linear layer: each row is a picture of one pixel.
template <class Layout>
Conv2dShape linear_shape(int64 rows, const Layout& weights) {
    return {.batch = rows, .in_channels = weights.in, .out_channels = weights.out};
}

// What a convolution or a linear layer adds to its result y [batch, out_height, out_width,
// out_channels]: as much, or for each picture a vector [batch, out_channels] that all of its pixels
// get. Null data means nothing.
template <class T>
struct Added {
    const T* data = nullptr;
    bool per_picture = false;
};

// q and y [batch, queries, heads·head_width], k and v [batch, keys, heads·head_width].
struct AttentionShape {
    int64 batch = 1, queries = 1, keys = 1, heads = 1, head_width = 1;

    int64 width() const { return heads * head_width; }
};

// Added to the scores before the softmax: element [b·batch_stride + q·query_stride + key]. A stride
// of zero repeats the mask; null data means none.
struct AttentionMask {
    const float* data = nullptr;
    int64 batch_stride = 0, query_stride = 0;
};

// x [batch, pixels, channels], the channels in `groups` equal groups.
struct GroupNormShape {
    int64 batch = 1, pixels = 1, channels = 1, groups = 1;
    double epsilon = 1e-5;
    Activation activation = Activation::none;  // applied last
};

}  // namespace dalle2::kernels
