// How the gradient of a convolution's weights is cut into tasks: the part that needs no vectors.
#pragma once

#include <algorithm>

#include <dalle2/kernels/packed_weights.hpp>
#include <dalle2/kernels/shapes.hpp>

namespace dalle2::kernels {

// What one call of the micro-kernel does: sums[i][n] += Σ over pixels of x[pixel][i] ·
// dy[pixel][n].
template <class T>
struct WeightTile {
    const T* x;
    const T* dy;
    int64 groups, rows, columns;                          // the pixels
    int64 x_group_stride, x_row_stride, x_column_stride;  // of x
    int64 dy_panel_stride;                                // dy itself is [panel][pixel][16][pair]
    float* sums;                                          // [valid_rows, sums_stride]
    int64 sums_stride, valid_rows;
    bool add;  // to the sums that are there
};

// The sum runs over all pixels of all pictures. A unit is a strip of rows of a picture, or the
// whole picture; a group is as many units as are multiplied at once: for products of bfloat16 the
// pairs of a dot product are the same pixel of two units, so that a shift by one pixel is an offset
// and never splits a pair. All threads pack x and dy into groups, as many as a cache may hold; then
// each task multiplies these for weights of its own: up to four panels of outputs, some input
// channels, all kernel rows or one; then come the next groups. So the order of every sum depends on
// the sizes alone. A task goes through the groups in chunks that stay in the second-level cache, as
// its sums do.
template <class T>
struct WeightPlan {
    static constexpr int64 chunk_bytes = 512 * 1024;
    static constexpr int64 sums_bytes = 256 * 1024;
    // What is packed at once: so much, but so many pixels at least that adding to the weights costs
    // little beside the products.
    static constexpr int64 packed_bytes = 2 * 1024 * 1024, packed_pixels = 2048;
    static constexpr int64 panels_per_task = 4;

    const T* x;
    const T* dy;
    int64 factor_size;        // bytes of a number that is multiplied: T, or float where T cannot be
    int64 pair;               // numbers of that type in a step of a product
    int64 columns_at_once;    // neighbours that micro-kernels sum at once
    int64 channels_together;  // of packed x; 0: all of them
    int64 batch, height, width, channels, out_channels, out_height, out_width;
    int64 kernel_height, kernel_width, stride, padding;
    // Elements of x and dy: a linear layer's last row of pixels may be cut short.
    int64 x_end, dy_end;

    int64 strip_rows, strips, units, groups_per_chunk;
    int64 all_groups, groups_at_once;
    int64 first_group, groups;  // those that are packed
    int64 in_rows, in_columns, panels;
    int64 out_columns;  // of a row of dy: out_width in whole columns_at_once, filled up with zeros
    int64 channels_per_task, parts, kernel_rows_per_task;

    // [group][in_rows][channel_blocks][in_columns][channels_together][pair]
    void* packed_x;
    // [panel][group][strip_rows][out_columns][16][pair], or, where several columns are summed at
    // once, [..][out_columns / columns_at_once][16][columns_at_once][pair]
    void* packed_dy;
    const T* zeros;  // sixteen, or where there are pairs a row of x or dy and as many
    float* dw;       // [out, in, kernel_height, kernel_width]
    bool add;        // to what is in dw
    float* dbias;    // [out], or null

    int64 channel_blocks() const { return (channels + channels_together - 1) / channels_together; }
    int64 x_group() const { return in_rows * x_row(); }
    int64 x_row() const { return channel_blocks() * x_block(); }
    int64 x_block() const { return in_columns * x_column(); }
    int64 x_column() const { return channels_together * pair; }
    // Where the row of a channel begins, in a row of all.
    int64 x_channel(int64 channel) const {
        return channel / channels_together * x_block() + channel % channels_together * pair;
    }
    int64 group_pixels() const { return strip_rows * out_columns; }
    int64 quads() const { return (panels + panels_per_task - 1) / panels_per_task; }
    int64 tasks() const { return quads() * parts * (kernel_height / kernel_rows_per_task); }
    // Floats of a task's sums: [kernel_rows_per_task][kernel_width][channels_per_task][panels ·
    // 16], of matrix units with the last two exchanged.
    int64 sums_size() const {
        return kernel_rows_per_task * kernel_width * channels_per_task * panels_per_task *
               panel_width;
    }
};

// Fills in how the sizes already in `plan` are cut, for the given number of threads.
template <class T>
void divide(WeightPlan<T>& plan, int64 threads) {
    const bool pointwise =
        plan.kernel_height * plan.kernel_width == 1 && plan.stride == 1 && plan.padding == 0;
    plan.x_end = plan.batch * plan.height * plan.width * plan.channels;
    plan.dy_end = plan.batch * plan.out_height * plan.out_width * plan.out_channels;
    if (pointwise) {  // the picture's form does not matter: long rows are fastest
        const int64 pixels = plan.batch * plan.height * plan.width;
        plan.batch = 1;
        plan.width = plan.out_width =
            std::clamp<int64>((pixels + plan.pair - 1) / plan.pair, 1, 128);
        plan.height = plan.out_height = (pixels + plan.width - 1) / plan.width;
    }
    plan.out_columns =
        (plan.out_width + plan.columns_at_once - 1) / plan.columns_at_once * plan.columns_at_once;
    const int64 pixel_bytes = (plan.channels * plan.stride * plan.stride + plan.out_channels) *
                              plan.pair * plan.factor_size;
    const int64 most = std::max<int64>(256, plan.chunk_bytes / pixel_bytes);
    int64 rows = plan.out_height;
    if (rows * plan.out_width > most) rows = std::max<int64>(1, most / plan.out_width);
    if (plan.batch < plan.pair)
        rows = std::min(rows, (plan.out_height + plan.pair - 1) / plan.pair);
    if (pointwise) rows = 1;
    plan.strips = (plan.out_height + rows - 1) / rows;
    plan.strip_rows = (plan.out_height + plan.strips - 1) / plan.strips;
    plan.strips = (plan.out_height + plan.strip_rows - 1) / plan.strip_rows;
    plan.units = plan.batch * plan.strips;
    plan.all_groups = (plan.units + plan.pair - 1) / plan.pair;
    plan.groups_per_chunk = std::clamp<int64>(most / plan.group_pixels(), 1, plan.all_groups);
    plan.groups_at_once = plan.all_groups;
    if (plan.columns_at_once == 1) {  // the products of matrix units cost too little
        const int64 most_packed = std::max(plan.packed_pixels, plan.packed_bytes / pixel_bytes);
        const int64 chunks =
            std::max<int64>(1, most_packed / (plan.groups_per_chunk * plan.group_pixels()));
        plan.groups_at_once = std::min(plan.all_groups, chunks * plan.groups_per_chunk);
    }
    plan.in_rows = (plan.strip_rows - 1) * plan.stride + plan.kernel_height;
    plan.in_columns = (plan.out_columns - 1) * plan.stride + plan.kernel_width;
    plan.panels = (plan.out_channels + panel_width - 1) / panel_width;

    // Parts of the channels that fit the micro-kernels' rows: 6 where so many stand together, else
    // 6, 8 or 12; 32 of matrix units.
    const int64 quads = plan.quads(), taps = plan.kernel_height * plan.kernel_width;
    const bool together = plan.channels_together > 0 && plan.channels_together <= plan.channels;
    const bool eights =
        !together && (plan.panels == 3 || (plan.panels == 2 && plan.channels % 12 != 0));
    const int64 unit = plan.columns_at_once > 1 ? 32 : eights ? 8 : 24;
    if (!together) plan.channels_together = plan.channels;
    const int64 units = (plan.channels + unit - 1) / unit;
    const int64 task_row =
        taps * plan.panels_per_task * panel_width * static_cast<int64>(sizeof(float));
    const int64 most_units = std::max<int64>(1, plan.sums_bytes / (task_row * unit));
    const int64 wanted =
        std::max((4 * threads + quads - 1) / quads, (units + most_units - 1) / most_units);
    plan.channels_per_task = std::max<int64>(1, units / wanted) * unit;
    plan.parts = (plan.channels + plan.channels_per_task - 1) / plan.channels_per_task;
    plan.kernel_rows_per_task = quads * plan.parts < 3 * threads ? 1 : plan.kernel_height;
}

}  // namespace dalle2::kernels
