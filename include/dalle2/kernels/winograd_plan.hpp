// How a 3×3 convolution is computed with fewer multiplications (Lavin and Gray 2016, "Fast
// algorithms for convolutional neural networks", after Winograd): the part that needs no vectors.
#pragma once

#include <algorithm>

#include <dalle2/kernels/conv_plan.hpp>

namespace dalle2::kernels {

// F(m×m, 3×3): m×m output pixels, a tile, come from (m + 2)² products of a transformed input tile
// and transformed weights instead of 9·m². The same element of all tiles, of all channels and of
// all outputs meet in one matrix product, so there are (m + 2)² matrix products in all.
//
// A task is a block of tiles and a group of panels. It transforms the block's inputs, then for up
// to four panels their weights, multiplies some tiles at a time, so that the products stay in the
// second-level cache, and transforms those back. The transformed weights are never kept: to make
// them costs little beside a block of tiles, and nearly twice the model's memory would be taken.
//
// x and y are of type T; the weights are stored as T or, for T = bfloat16, as int8. What is
// multiplied is T, or float where no instruction multiplies bfloat16.
template <class T, class Weight = T>
struct WinogradPlan : ConvProblem<Weight> {
    static constexpr int64 most_rows = ConvPlan<T>::most_rows;
    static constexpr int64 panels_at_once = 4;
    static constexpr int64 product_bytes = 384 * 1024;

    int64 tile;         // m
    int64 factor_size;  // bytes of a number of the matrices that are multiplied
    int64 whole_rows;   // see VectorKernels
    int64 input_bytes;  // of a block, transformed: so many, but
    int64 least_tiles;  // so many tiles at least, for the sake of reading the weights
    const T* zeros;     // a pixel outside of the picture: [channels]

    int64 tile_rows, tile_columns;  // of a picture
    int64 pictures_per_block, tile_rows_per_strip, strips, blocks, panels_per_group, groups;
    int64 tiles_per_block, tiles_at_once;
    int64 inputs_at, weights_at, products_at, scratch_bytes;  // of a task

    // How far the elements of a tile lie apart, in numbers of `size` bytes: `count` of them rounded
    // up to an odd number of cache lines, because at a power of two all would meet in the same sets
    // of a cache.
    static int64 apart(int64 count, int64 size) {
        const int64 line = 64 / size;
        return ((count + line - 1) / line | 1) * line;
    }
    int64 input_stride(int64 tiles) const { return apart(tiles * this->channels, factor_size); }
    int64 weight_stride(int64 count) const {
        return apart(count * panel_width * this->channels, factor_size);
    }
    int64 product_stride(int64 count) const {
        return apart((tiles_at_once + most_rows) * count * panel_width, sizeof(float));
    }

    int64 elements() const { return (tile + 2) * (tile + 2); }
    int64 tasks() const { return blocks * groups; }
};

// Cuts the convolution whose sizes are already in `plan` for the given number of threads. A tile's
// sums do not depend on the cut.
template <class T, class Weight>
void divide(WinogradPlan<T, Weight>& plan, int64 threads) {
    const int64 size = plan.factor_size, elements = plan.elements();
    plan.tile_rows = (plan.out_height + plan.tile - 1) / plan.tile;
    plan.tile_columns = (plan.out_width + plan.tile - 1) / plan.tile;
    const int64 tiles = plan.tile_rows * plan.tile_columns, total = plan.batch * tiles;

    int64 most = std::clamp<int64>(plan.input_bytes / (elements * plan.channels * size),
                                   plan.least_tiles, 1024);
    most = std::min(most, std::max<int64>(64, total / (threads * 4)));
    if (tiles <= most) {
        plan.pictures_per_block = std::min(plan.batch, most / tiles);
        plan.tile_rows_per_strip = plan.tile_rows;
    } else {
        plan.pictures_per_block = 1;
        const int64 strips = (tiles + most - 1) / most;
        plan.tile_rows_per_strip = (plan.tile_rows + strips - 1) / strips;
    }
    plan.strips = (plan.tile_rows + plan.tile_rows_per_strip - 1) / plan.tile_rows_per_strip;
    plan.blocks =
        (plan.batch + plan.pictures_per_block - 1) / plan.pictures_per_block * plan.strips;
    plan.tiles_per_block = plan.pictures_per_block * plan.tile_rows_per_strip * plan.tile_columns;

    plan.panels_per_group = plan.panels;
    while (plan.blocks * ((plan.panels + plan.panels_per_group - 1) / plan.panels_per_group) <
               2 * threads &&
           plan.panels_per_group > plan.panels_at_once)
        plan.panels_per_group =
            std::max<int64>(plan.panels_at_once, (plan.panels_per_group / 2 + 3) / 4 * 4);
    plan.groups = (plan.panels + plan.panels_per_group - 1) / plan.panels_per_group;

    const int64 product_row = plan.panels_at_once * panel_width * static_cast<int64>(sizeof(float));
    const int64 rows = plan.whole_rows;
    plan.tiles_at_once =
        std::min((plan.tiles_per_block + rows - 1) / rows * rows,
                 std::max<int64>(1, plan.product_bytes / (elements * product_row * rows)) * rows);

    const auto aligned = [](int64 bytes) { return (bytes + 63) / 64 * 64; };
    plan.inputs_at =
        aligned((plan.tiles_at_once + plan.most_rows) * static_cast<int64>(sizeof(T*)));
    plan.weights_at =
        plan.inputs_at + aligned((elements * plan.input_stride(plan.tiles_per_block) + 64) * size);
    plan.products_at =
        plan.weights_at + aligned(elements * plan.weight_stride(plan.panels_at_once) * size);
    plan.scratch_bytes = plan.products_at + elements * plan.product_stride(plan.panels_at_once) *
                                                static_cast<int64>(sizeof(float));
}

}  // namespace dalle2::kernels
