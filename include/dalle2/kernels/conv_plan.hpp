// How a convolution is cut into tasks: the part that needs no vectors.
#pragma once

#include <algorithm>
#include <cstring>

#include <dalle2/kernels/packed_weights.hpp>
#include <dalle2/kernels/shapes.hpp>

namespace dalle2::kernels {

// What one call of the micro-kernel does: rows of x meet panels of w, tap by tap.
template <class T>
struct GemmTile {
    const T* const* rows;  // where tap 0 of each row begins
    int64 x_offset, x_tap_stride, w_tap_stride, panel_stride;
    int64 taps, steps;  // per tap, in pairs where T is multiplied in pairs
    const T* w;
    float* partial;  // [rows, partial_stride]: sums that other calls began or will finish
    int64 partial_stride;
    bool add_to_partial;
    T* y;  // null: the sums go to `partial`
    int64 y_stride, valid_rows, columns;
    const float* bias;  // of the first column; may be null
};

// A convolution's sizes and operands.
template <class T>
struct ConvProblem {
    const T* x;
    int64 batch, height, width, channels, stride, pad_y, pad_x, kernel_height, kernel_width,
        out_height, out_width;
    const T* w;
    int64 run, panel_stride, panels, out_channels;
    const float* bias;
    T* y;
};

// Output pixels are cut into blocks: several small pictures, or a strip of rows of a large one. A
// task is a block and a group of panels. Its pixels' windows lie in a padded copy of the block's
// part of x (or in x itself where nothing is padded), so that one pointer per pixel and one stride
// find all of them. The sum of one output is cut into chunks whose weights stay in the second-level
// cache; the cut depends on the layer alone.
template <class T>
struct ConvPlan : ConvProblem<T> {
    static constexpr int64 most_rows = 16;                                // of a micro-kernel
    static constexpr int64 chunk = 4096 / static_cast<int64>(sizeof(T));  // of a sum, in elements
    static constexpr int64 copy_bytes = 384 * 1024;

    bool copied;
    int64 pictures_per_block, rows_per_strip, strips, blocks, panels_per_group, groups;
    int64 taps_per_chunk, run_per_chunk;
    int64 partial_at, copy_at, scratch_bytes;  // of a task: row pointers, partial sums, copy

    int64 tasks() const { return blocks * groups; }
};

// Rows [first_row, first_row + rows) of some pictures, with zeros where they leave the picture.
template <class T>
inline void copy_padded(const ConvPlan<T>& plan, int64 first_picture, int64 pictures,
                        int64 first_row, int64 rows, int64 columns, T* to) {
    const int64 row_elements = columns * plan.channels;
    const int64 left = std::min(columns, plan.pad_x),
                inside = std::max<int64>(0, std::min(columns - left, plan.width));
    const auto zero = [](T* at, int64 count) {
        std::memset(static_cast<void*>(at), 0, static_cast<std::size_t>(count) * sizeof(T));
    };
    for (int64 b = 0; b < pictures; ++b)
        for (int64 row = 0; row < rows; ++row, to += row_elements) {
            const int64 y = first_row + row;
            if (y < 0 || y >= plan.height) {
                zero(to, row_elements);
                continue;
            }
            zero(to, left * plan.channels);
            std::memcpy(
                static_cast<void*>(to + left * plan.channels),
                plan.x + ((first_picture + b) * plan.height + y) * plan.width * plan.channels,
                static_cast<std::size_t>(inside * plan.channels) * sizeof(T));
            zero(to + (left + inside) * plan.channels, (columns - left - inside) * plan.channels);
        }
    zero(to, pair_size<T>);  // what the last pair of an odd run may touch
}

// Cuts the convolution whose sizes are already in `plan` for the given number of threads.
template <class T>
void divide(ConvPlan<T>& plan, int64 threads) {
    const int64 pixels = plan.out_height * plan.out_width, total = plan.batch * pixels;
    plan.copied =
        plan.pad_y > 0 || plan.pad_x > 0 || plan.kernel_width * plan.channels % pair_size<T> != 0;

    if (plan.run > plan.chunk + plan.chunk / 4) {
        const int64 parts = (plan.run + plan.chunk - 1) / plan.chunk, unit = 2 * pair_size<T>;
        plan.run_per_chunk = ((plan.run + parts - 1) / parts + unit - 1) / unit * unit;
        plan.taps_per_chunk = 1;
    } else {
        plan.run_per_chunk = plan.run;
        plan.taps_per_chunk = plan.run * plan.kernel_height <= plan.chunk + plan.chunk / 4
                                  ? plan.kernel_height
                                  : std::max<int64>(1, plan.chunk / plan.run);
    }
    const bool partial = plan.run_per_chunk < plan.run || plan.taps_per_chunk < plan.kernel_height;

    // Enough blocks to keep the threads busy to the end, none so large that its copy leaves the
    // cache; but where weights are many, blocks large enough to make reading them worth while.
    const int64 bytes_per_pixel =
        plan.channels * plan.stride * plan.stride * static_cast<int64>(sizeof(T));
    int64 most = partial ? 512 : std::clamp<int64>(plan.copy_bytes / bytes_per_pixel, 256, 1024);
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
    plan.partial_at = aligned(block_pixels * static_cast<int64>(sizeof(T*)));
    plan.copy_at = plan.partial_at +
                   (partial ? aligned(block_pixels * 64 * static_cast<int64>(sizeof(float))) : 0);
    const int64 copy_elements =
        plan.pictures_per_block * ((plan.rows_per_strip - 1) * plan.stride + plan.kernel_height) *
        ((plan.out_width - 1) * plan.stride + plan.kernel_width) * plan.channels;
    plan.scratch_bytes =
        plan.copy_at +
        (plan.copied ? aligned((copy_elements + 64) * static_cast<int64>(sizeof(T))) : 0);
}

}  // namespace dalle2::kernels
