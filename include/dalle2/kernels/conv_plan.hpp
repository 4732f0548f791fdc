// How a convolution is cut into tasks: the part that needs no vectors.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <type_traits>

#include <dalle2/kernels/byte_range.hpp>
#include <dalle2/kernels/packed_weights.hpp>
#include <dalle2/kernels/shapes.hpp>

namespace dalle2::kernels {

// What a product with weights of type T takes and gives: the type of x and y, and the type that
// products are summed in. What x is when it meets the weights, its Factor, depends on the
// instruction set: T itself, or for int8 bytes without a sign; where no instruction multiplies
// those, float for bfloat16 and 16-bit whole numbers for int8.
template <class T>
struct Product {
    using Value = T;
    using Sum = float;
};
template <>
struct Product<std::int8_t> {
    using Value = bfloat16;
    using Sum = std::int32_t;
};

// Sums that one call of a micro-kernel makes at most.
inline constexpr int64 most_tile_rows = 32, most_tile_columns = 64;

// What one call of the micro-kernel does: rows of x meet panels of w, tap by tap.
template <class T, class Factor, class Y = typename Product<T>::Value>
struct GemmTile {
    const Factor* const* rows;  // where tap 0 of each row begins
    int64 x_offset, x_tap_stride, w_tap_stride, panel_stride;
    int64 taps, steps;  // per tap, in pairs where T is multiplied in pairs
    const T* w;
    // [rows, partial_stride]: where the sums go, whole or not, and where those are that other calls
    // began
    typename Product<T>::Sum* partial;
    int64 partial_stride;
    bool add_to_partial;
    // Where the results go; null while the sums are not whole, or where they are all that is
    // wanted.
    Y* y;
    int64 y_stride;
    int64 valid_rows, columns;  // of the tile's own, those that are wanted
    const float* bias;          // of the first column; may be null
    // What later calls read, which this one may fetch into a cache, and how many bytes lie between
    // one fetch and the next. Null: none.
    const char* ahead = nullptr;
    int64 ahead_stride = 0;
    // Of int8 alone: for each row what its whole numbers stand for, for each column the scale and
    // the sum of its weights.
    const ByteRange* row_ranges;
    const float* column_scales;
    const std::int32_t* column_sums;
};

// A convolution's sizes and operands.
template <class T>
struct ConvProblem {
    using Value = typename Product<T>::Value;

    const Value* x;
    int64 batch, height, width, channels, stride, pad_y, pad_x, kernel_height, kernel_width,
        out_height, out_width;
    const T* w;
    int64 run, panel_stride, panels, out_channels;
    const float* bias;
    Value* y;

    // Of int8 alone: see GemmTile. Without ranges of whole pictures each pixel has its own, which
    // tasks find; then kernels are 1×1, with stride 1 and no padding.
    const ByteRange* picture_ranges;
    const float* column_scales;
    const std::int32_t* column_sums;
};

// Output pixels are cut into blocks: several small pictures, or a strip of rows of a large one. A
// task is a block and a group of panels. Its pixels' windows lie in a padded copy of the block's
// part of x (or in x itself where nothing is padded or spread), so that one pointer per pixel and
// one stride find all of them. The sum of one output is cut into chunks whose weights stay in the
// second-level cache; the cut depends on the layer and on the instruction set alone.
template <class T>
struct ConvPlan : ConvProblem<T> {
    static constexpr int64 most_rows = most_tile_rows;
    static constexpr int64 copy_bytes = 384 * 1024;

    int64 factor_size;  // bytes of a number of x as it meets the weights
    int64 chunk;        // of a sum, in elements: so long that its weights stay in a cache
    bool spreads_rows;  // whether micro-kernels suffer from rows that meet in few sets of a cache
    bool copied;
    int64 pixel_stride;  // from a pixel to the next, in x or in the copy
    int64 pictures_per_block, rows_per_strip, strips, blocks, panels_per_group, groups;
    int64 taps_per_chunk, run_per_chunk;
    // Of a task: row pointers, ranges of rows (of int8 alone), partial sums, copy.
    int64 ranges_at, partial_at, copy_at, scratch_bytes;

    int64 tasks() const { return blocks * groups; }
    // Whether sums are begun by one call of the micro-kernel and finished by another.
    bool chunked() const {
        return run_per_chunk < this->run || taps_per_chunk < this->kernel_height;
    }
};

// Rows [first_row, first_row + rows) of some pictures: copy(picture, from, count, to) for what lies
// in the picture, pad(picture, to, count) where they leave it.
template <class T, class Factor, class Copy, class Pad>
inline void copy_padded(const ConvPlan<T>& plan, int64 first_picture, int64 pictures,
                        int64 first_row, int64 rows, int64 columns, Factor* to, const Copy& copy,
                        const Pad& pad) {
    assert(plan.pixel_stride == plan.channels);
    const int64 row_elements = columns * plan.channels;
    const int64 left = std::min(columns, plan.pad_x),
                inside = std::max<int64>(0, std::min(columns - left, plan.width));
    for (int64 b = first_picture; b < first_picture + pictures; ++b)
        for (int64 row = 0; row < rows; ++row, to += row_elements) {
            const int64 y = first_row + row;
            if (y < 0 || y >= plan.height) {
                pad(b, to, row_elements);
                continue;
            }
            pad(b, to, left * plan.channels);
            copy(b, plan.x + (b * plan.height + y) * plan.width * plan.channels,
                 inside * plan.channels, to + left * plan.channels);
            pad(b, to + (left + inside) * plan.channels, (columns - left - inside) * plan.channels);
        }
    pad(first_picture, to, pair_size<T>);  // what the last pair of an odd run may touch
}

// Cuts the convolution whose sizes are already in `plan` for the given number of threads.
template <class T>
void divide(ConvPlan<T>& plan, int64 threads) {
    const int64 pixels = plan.out_height * plan.out_width, total = plan.batch * pixels;
    plan.copied = std::is_same_v<T, std::int8_t> ||
                  plan.factor_size != static_cast<int64>(sizeof(typename Product<T>::Value)) ||
                  plan.pad_y > 0 || plan.pad_x > 0 ||
                  plan.kernel_width * plan.channels % pair_size<T> != 0;

    if (plan.run > plan.chunk + plan.chunk / 4) {
        const int64 parts = (plan.run + plan.chunk - 1) / plan.chunk;
        const int64 unit = 64 / static_cast<int64>(sizeof(T));
        plan.run_per_chunk = ((plan.run + parts - 1) / parts + unit - 1) / unit * unit;
        plan.taps_per_chunk = 1;
    } else {
        plan.run_per_chunk = plan.run;
        plan.taps_per_chunk = plan.run * plan.kernel_height <= plan.chunk + plan.chunk / 4
                                  ? plan.kernel_height
                                  : std::max<int64>(1, plan.chunk / plan.run);
    }

    // Enough blocks to keep the threads busy to the end, none so large that its copy leaves the
    // cache; but where weights are many, blocks large enough to make reading them worth while.
    const int64 bytes_per_pixel = plan.channels * plan.stride * plan.stride * plan.factor_size;
    int64 most =
        plan.chunked() ? 512 : std::clamp<int64>(plan.copy_bytes / bytes_per_pixel, 256, 1024);
    most = std::min(most, std::max<int64>(96, total / (threads * 4)));
    if (pixels <= most) {
        plan.pictures_per_block = std::max<int64>(1, most / pixels);
        plan.rows_per_strip = plan.out_height;
    } else {
        plan.pictures_per_block = 1;
        const int64 strips = (pixels + most - 1) / most;
        plan.rows_per_strip = std::max<int64>(1, (plan.out_height + strips - 1) / strips);
    }
    plan.strips = (plan.out_height + plan.rows_per_strip - 1) / plan.rows_per_strip;
    plan.blocks =
        (plan.batch + plan.pictures_per_block - 1) / plan.pictures_per_block * plan.strips;

    // Few blocks: the panels are shared out too.
    plan.panels_per_group = plan.panels;
    while (plan.blocks * ((plan.panels + plan.panels_per_group - 1) / plan.panels_per_group) <
               2 * threads &&
           plan.panels_per_group > 4)
        plan.panels_per_group = std::max<int64>(4, (plan.panels_per_group / 2 + 3) / 4 * 4);
    plan.groups = (plan.panels + plan.panels_per_group - 1) / plan.panels_per_group;

    const auto aligned = [](int64 bytes) { return (bytes + 63) / 64 * 64; };
    const int64 block_pixels =
        plan.pictures_per_block * plan.rows_per_strip * plan.out_width + plan.most_rows;

    // Where the copy serves many panels.
    plan.pixel_stride = plan.channels;
    const bool pointwise = plan.kernel_height * plan.kernel_width * plan.stride == 1 &&
                           plan.pad_y == 0 && plan.pad_x == 0;
    const int64 row_bytes = plan.channels * plan.factor_size;
    if (plan.spreads_rows && pointwise && row_bytes % 1024 == 0 &&
        (plan.copied || (plan.panels_per_group >= 16 && block_pixels * row_bytes <= 2 << 20))) {
        plan.copied = true;
        plan.pixel_stride += 64 / plan.factor_size;
    }
    plan.ranges_at = aligned(block_pixels * static_cast<int64>(sizeof(T*)));
    plan.partial_at =
        plan.ranges_at + (std::is_same_v<T, std::int8_t>
                              ? aligned(block_pixels * static_cast<int64>(sizeof(ByteRange)))
                              : 0);
    plan.copy_at = plan.partial_at + (plan.chunked() ? block_pixels : plan.most_rows) *
                                         most_tile_columns * static_cast<int64>(sizeof(float));
    const int64 copy_elements =
        plan.pictures_per_block * ((plan.rows_per_strip - 1) * plan.stride + plan.kernel_height) *
        ((plan.out_width - 1) * plan.stride + plan.kernel_width) * plan.pixel_stride;
    plan.scratch_bytes =
        plan.copy_at + (plan.copied ? aligned((copy_elements + 64) * plan.factor_size) : 0);
}

}  // namespace dalle2::kernels
