// How a convolution is cut into tasks: the part that needs no vectors.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <type_traits>

#include <dalle2/core/activation.hpp>
#include <dalle2/kernels/byte_range.hpp>
#include <dalle2/kernels/isa.hpp>
#include <dalle2/kernels/moments.hpp>
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

// What is added to a tile's results: a row of the tile's columns for its first `rows_of_first`
// rows, the next row of them, `stride` elements on, for the `rows_of_each` after those, and so on.
// Null: nothing.
template <class Y>
struct AddedRows {
    const Y* at;
    int64 stride, rows_of_first, rows_of_each;

    // To what the next row of the tile gets.
    void advance() {
        if (--rows_of_first > 0) return;
        at += stride;
        rows_of_first = rows_of_each;
    }
};

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
    AddedRows<Y> added;
    Activation activation;  // applied last
    bool bypasses;          // see ConvPlan
    // What the results' moments are gathered in, and where they go once a piece is whole: means
    // here, squares y_stride further. Null: nowhere.
    MomentPieces* moments;
    float* piece;
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
    Added<Value> added;
    Activation activation;  // applied last; of direct sums alone
    Value* y;

    // Of int8 alone: see GemmTile. Without ranges of whole pictures each pixel has its own, which
    // tasks find; then kernels are 1×1, with stride 1 and no padding.
    const ByteRange* picture_ranges;
    const float* column_scales;
    const std::int32_t* column_sums;
};

// Output pixels are cut into blocks: several small pictures, or a strip of rows of a large one, or
// of some of its columns. A task is a block and a group of panels. Its pixels' windows lie in a
// padded copy of the block's part of x (or in x itself where nothing is padded or spread), so that
// one pointer per pixel and one stride find all of them. The sum of one output is cut into chunks
// whose weights stay in a cache, the second-level one or, for a matrix unit, the first; the cut
// depends on the layer and on the instruction set alone.
template <class T>
struct ConvPlan : ConvProblem<T> {
    static constexpr int64 most_rows = most_tile_rows;

    int64 factor_size;  // bytes of a number of x as it meets the weights
    int64 chunk;        // of a sum, in elements: so long that its weights stay in a cache
    bool has_tiles;     // whether a matrix unit multiplies
    // Of x that a block of a linear layer reads at once, so that it stays in a cache while all
    // weights come by; 0: as convolutions do.
    int64 block_bytes;
    bool copied;
    int64 pixel_stride;  // from a pixel to the next, in x or in the copy
    int64 pictures_per_block, rows_per_strip, strips, columns_per_strip, strips_across, blocks;
    int64 panels_per_group, groups;
    int64 taps_per_chunk, run_per_chunk;
    int64 run_per_pass;  // so much of it for all panels, before more of it
    // Whether these passes are the columns of the kernel, each over a copy that begins one column
    // further. Then the copy's rows are as long as those of results, so that all rows of a tile are
    // equally far apart, as a matrix unit wants them, even where the pictures' are shorter than a
    // tile.
    bool by_kernel_columns;
    bool bypasses;  // whether results go to memory past the caches
    // [batch][pieces][mean, squares][out_channels] of the results; null: not wanted. See
    // MomentPieces.
    float* piece_moments;
    // Of a task: row pointers, ranges of rows (of int8 alone), partial sums, copy.
    int64 ranges_at, partial_at, copy_at, scratch_bytes;

    int64 tasks() const { return blocks * groups; }
    // Whether sums are begun by one call of the micro-kernel and finished by another.
    bool chunked() const {
        return run_per_chunk < this->run || taps_per_chunk < this->kernel_height;
    }
    int64 pieces() const { return this->out_height * this->out_width / MomentPieces::pixels; }
    bool in_passes() const { return run_per_pass < this->run; }
    // The columns of x that so many of the results need, in one pass.
    int64 columns_read(int64 columns) const {
        return (columns - 1) * this->stride + (by_kernel_columns ? 1 : this->kernel_width);
    }
    // Whether blocks have block_bytes: of what is read in place, each pixel once.
    bool reads_in_place() const { return block_bytes > 0 && !has_tiles && pointwise() && !copied; }
    // Whether an output pixel comes from one pixel alone, each from its own, as in a linear layer.
    bool pointwise() const {
        return this->kernel_height * this->kernel_width * this->stride == 1 && this->pad_y == 0 &&
               this->pad_x == 0;
    }
};

// Rows [first_row, first_row + rows) of some pictures, and some columns of them: copy(picture,
// from, count, to) for what lies in the picture, pad(picture, to, count) where they leave it.
template <class T, class Factor, class Copy, class Pad>
inline void copy_padded(const ConvPlan<T>& plan, int64 first_picture, int64 pictures,
                        int64 first_row, int64 rows, int64 first_column, int64 columns, Factor* to,
                        const Copy& copy, const Pad& pad) {
    assert(plan.pixel_stride == plan.channels);
    const int64 row_elements = columns * plan.channels;
    const int64 begin = std::max<int64>(0, first_column),
                left = std::min(columns, begin - first_column),
                inside = std::max<int64>(0, std::min(columns - left, plan.width - begin));
    for (int64 b = first_picture; b < first_picture + pictures; ++b)
        for (int64 row = 0; row < rows; ++row, to += row_elements) {
            const int64 y = first_row + row;
            if (y < 0 || y >= plan.height) {
                pad(b, to, row_elements);
                continue;
            }
            pad(b, to, left * plan.channels);
            copy(b, plan.x + ((b * plan.height + y) * plan.width + begin) * plan.channels,
                 inside * plan.channels, to + left * plan.channels);
            pad(b, to + (left + inside) * plan.channels, (columns - left - inside) * plan.channels);
        }
    pad(first_picture, to, pair_size<T>);  // what the last pair of an odd run may touch
}

// The pixels of a block, at most: enough blocks to keep the threads busy to the end, none so large
// that its copy leaves the cache; but where weights are many, blocks large enough to make reading
// them worth while. (A matrix unit suffers most: it takes 512 KB from the second level in the time
// of 40 KB from the third.)
template <class T>
int64 most_pixels(const ConvPlan<T>& plan, int64 threads) {
    constexpr int64 kilobyte = 1024;
    const int64 bytes = plan.channels * plan.stride * plan.stride * plan.factor_size;
    int64 least = 96, most = 512;
    if (plan.reads_in_place())
        return std::clamp<int64>(
            plan.block_bytes / (std::min(plan.run, plan.chunk) * plan.factor_size), least, 256);
    if (plan.has_tiles) {
        least = plan.pointwise() ? 128 : 256;
        const int64 most_bytes = (plan.pointwise() ? 512 : 640) * kilobyte;
        most = std::clamp<int64>(most_bytes / bytes, least, most);
    } else if (!plan.chunked()) {
        most = std::clamp<int64>(384 * kilobyte / bytes, 256, 1024);
    }
    const int64 total = plan.batch * plan.out_height * plan.out_width;
    return std::min(most, std::max<int64>(least, total / (threads * 4)));
}

// Cuts the convolution whose sizes are already in `plan` for the given number of threads.
template <class T>
void divide(ConvPlan<T>& plan, int64 threads) {
    const int64 pixels = plan.out_height * plan.out_width, total = plan.batch * pixels;
    plan.copied = std::is_same_v<T, std::int8_t> ||
                  plan.factor_size != static_cast<int64>(sizeof(typename Product<T>::Value)) ||
                  plan.pad_y > 0 || plan.pad_x > 0 ||
                  plan.kernel_width * plan.channels % pair_size<T> != 0;
    plan.by_kernel_columns = plan.has_tiles && plan.copied && plan.stride == 1 &&
                             plan.kernel_width > 1 && plan.channels % pair_size<T> == 0 &&
                             plan.out_width < panel_width;

    const int64 length = plan.by_kernel_columns ? plan.channels : plan.run;
    // (Other sums are worth a chunk that fills the first-level cache; not those of passes, which
    // come back.)
    const int64 longest = plan.by_kernel_columns ? plan.chunk : plan.chunk + plan.chunk / 4;
    if (length > longest) {
        const int64 parts = (length + plan.chunk - 1) / plan.chunk;
        const int64 unit = 64 / static_cast<int64>(sizeof(T));
        plan.run_per_chunk = ((length + parts - 1) / parts + unit - 1) / unit * unit;
        plan.taps_per_chunk = 1;
    } else {
        plan.run_per_chunk = length;
        plan.taps_per_chunk = length * plan.kernel_height <= plan.chunk + plan.chunk / 4
                                  ? plan.kernel_height
                                  : std::max<int64>(1, plan.chunk / length);
    }

    const int64 most = most_pixels(plan, threads);
    if (pixels <= most && plan.piece_moments == nullptr) {
        plan.pictures_per_block = std::max<int64>(1, most / pixels);
        if (plan.has_tiles || plan.reads_in_place()) {
            // Of about the same size: to read the weights for a few rows takes as long as for many.
            const int64 parts = std::max<int64>(1, (total + most / 2) / most);
            plan.pictures_per_block = (plan.batch + parts - 1) / parts;
            if (pixels == 1)
                plan.pictures_per_block = (plan.pictures_per_block + plan.most_rows - 1) /
                                          plan.most_rows * plan.most_rows;
        }
        plan.rows_per_strip = plan.out_height;
        plan.columns_per_strip = plan.out_width;
    } else {
        // Narrow strips share fewer pixels with their neighbours, which each has to copy. (A tile's
        // rows lie beside each other in y.)
        static_assert(MomentPieces::columns == ConvPlan<T>::most_rows);
        const bool narrow =
            plan.has_tiles && !plan.pointwise() && plan.out_width % plan.most_rows == 0;
        plan.columns_per_strip = narrow ? plan.most_rows : plan.out_width;
        plan.pictures_per_block = 1;
        const int64 strips = (plan.out_height * plan.columns_per_strip + most - 1) / most;
        plan.rows_per_strip = std::max<int64>(1, (plan.out_height + strips - 1) / strips);
        if (plan.piece_moments != nullptr)
            plan.rows_per_strip =
                std::max<int64>(1, plan.rows_per_strip / MomentPieces::rows) * MomentPieces::rows;
    }
    plan.strips = (plan.out_height + plan.rows_per_strip - 1) / plan.rows_per_strip;
    plan.strips_across = (plan.out_width + plan.columns_per_strip - 1) / plan.columns_per_strip;
    plan.blocks = (plan.batch + plan.pictures_per_block - 1) / plan.pictures_per_block *
                  plan.strips * plan.strips_across;

    // Few blocks: the panels are shared out too, so that there are two tasks to a thread; beside a
    // matrix unit the copies for a second one take long, and one will do if all are equal. Where
    // nothing is copied, more tasks cost nothing, and so many that threads have about as much to do
    // are better.
    const bool equal = plan.batch % plan.pictures_per_block == 0 &&
                       plan.out_height % plan.rows_per_strip == 0 &&
                       plan.out_width % plan.columns_per_strip == 0;
    plan.panels_per_group = plan.panels;
    const auto enough = [&] {
        plan.groups = (plan.panels + plan.panels_per_group - 1) / plan.panels_per_group;
        if (plan.reads_in_place() && plan.tasks() % threads != 0)
            return plan.tasks() >= 8 * threads;
        return plan.tasks() >= 2 * threads ||
               (plan.has_tiles && plan.copied && equal && plan.tasks() % threads == 0 &&
                plan.panels % plan.groups == 0);
    };
    while (!enough() && plan.panels_per_group > 4)
        plan.panels_per_group = std::max<int64>(4, (plan.panels_per_group / 2 + 3) / 4 * 4);

    const auto aligned = [](int64 bytes) { return (bytes + 63) / 64 * 64; };
    const int64 block_pixels =
        plan.pictures_per_block * plan.rows_per_strip * plan.columns_per_strip + plan.most_rows;

    // Rows that are too long for the second-level cache meet the weights part by part.
    plan.run_per_pass = length;
    if (plan.has_tiles && plan.pointwise()) {
        constexpr int64 most_bytes = 1 << 20;
        const auto parts = [](int64 all, int64 part) { return (all + part - 1) / part; };
        const int64 passes = parts(block_pixels * plan.run * plan.factor_size, most_bytes);
        plan.run_per_pass = parts(parts(plan.run, plan.run_per_chunk), passes) * plan.run_per_chunk;
    }
    // (An activation reads them once more.)
    plan.bypasses = plan.has_tiles && plan.activation == Activation::none &&
                    total * plan.out_channels * static_cast<int64>(sizeof(*plan.y)) > kept_bytes;

    // Rows at multiples of a power of two meet in few sets of a cache, from which a matrix unit
    // suffers most: they are spread where the copy serves many panels.
    plan.pixel_stride = plan.channels;
    const int64 row_bytes = plan.channels * plan.factor_size;
    if (plan.has_tiles && plan.pointwise() && row_bytes % 1024 == 0 &&
        (plan.copied || (plan.panels_per_group >= 16 && block_pixels * row_bytes <= 2 << 20))) {
        plan.copied = true;
        plan.pixel_stride += 64 / plan.factor_size;
    }
    plan.ranges_at = aligned(block_pixels * static_cast<int64>(sizeof(T*)));
    plan.partial_at =
        plan.ranges_at + (std::is_same_v<T, std::int8_t>
                              ? aligned(block_pixels * static_cast<int64>(sizeof(ByteRange)))
                              : 0);
    const int64 partial_columns = plan.in_passes() ? plan.panels_per_group * panel_width : 0;
    plan.copy_at = plan.partial_at + (plan.chunked() ? block_pixels : 2 * plan.most_rows) *
                                         std::max(partial_columns, most_tile_columns) *
                                         static_cast<int64>(sizeof(float));
    const int64 copy_rows =
        plan.pictures_per_block * ((plan.rows_per_strip - 1) * plan.stride + plan.kernel_height);
    const int64 copy_elements =
        copy_rows * plan.columns_read(plan.columns_per_strip) * plan.pixel_stride;
    plan.scratch_bytes =
        plan.copy_at + (plan.copied ? aligned((copy_elements + 64) * plan.factor_size) : 0);
}

}  // namespace dalle2::kernels
