// How attention is cut into tasks: the part that needs no vectors.
#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>

#include <dalle2/kernels/conv_plan.hpp>
#include <dalle2/kernels/packed_weights.hpp>
#include <dalle2/kernels/shapes.hpp>

namespace dalle2::kernels {

// A task is one head of one batch element and some blocks of its queries: the scores of a block
// stay in the second-level cache and no larger part of them is ever kept.
template <class T>
struct AttentionPlan {
    AttentionShape shape;
    AttentionMask mask;
    const T *q, *k, *v;
    T* y;
    float* log_sum_exp;  // [batch, heads, queries], null if not wanted

    // Of the gradient: what attention gave, and what is wanted.
    const T* forward_y;
    const float* forward_log_sum_exp;
    const T* dy;
    T *dq, *dk, *dv;

    int64 factor_size;  // bytes of a number that is multiplied
    bool has_tiles;     // whether a matrix unit multiplies
    // Whether sixteen queries' scores stand beside each other, instead of one query's: then some
    // keys at a time meet the queries of a block.
    bool by_columns;
    int64 keys_at_once;
    float scale;
    int64 block, blocks, blocks_per_task, tasks_per_head;  // of queries
    int64 keys, width;                                     // padded to whole panels
    int64 scratch_bytes;

    int64 tasks() const { return shape.batch * shape.heads * tasks_per_head; }
};

// Hands out aligned pieces of a task's scratch; with a null base it only counts.
struct ScratchPieces {
    char* base;
    int64 used = 0;

    template <class U>
    U* take(int64 count) {
        U* piece = base ? reinterpret_cast<U*>(base + used) : nullptr;
        used += (count * static_cast<int64>(sizeof(U)) + 63) / 64 * 64;
        return piece;
    }
};

// The parts of a task's scratch. Numbers that are multiplied are of type F: T, or float where no
// instruction multiplies bfloat16; then rows of T are copied before.
template <class T, class F>
struct AttentionScratch {
    static constexpr int64 slack = panel_width * pair_size<F>;
    const F** rows;
    F *row_copies, *keys, *values, *probabilities;
    float *scores, *sums;  // sums: of the values, before the division by all probabilities
    float* inverses;       // of the sums of all probabilities of a query

    AttentionScratch(const AttentionPlan<T>& p, ScratchPieces pieces, int64* bytes = nullptr) {
        rows = pieces.take<const F*>(p.block + most_tile_rows);
        row_copies = pieces.take<F>(std::is_same_v<T, F> ? 0 : p.block * p.shape.head_width);
        keys = pieces.take<F>(p.keys * p.width + slack);
        values = pieces.take<F>(p.keys * p.width + slack);
        probabilities = pieces.take<F>(p.block * p.keys + slack);
        scores = pieces.take<float>((p.block + most_tile_rows) * p.keys);
        sums = pieces.take<float>((p.block + most_tile_rows) * p.width);
        inverses = pieces.take<float>(p.block);
        if (bytes) *bytes = pieces.used;
    }
};

// The same where scores stand by columns.
template <class T>
struct AttentionColumns {
    static constexpr int64 head_width = 64, most_queries = 32;
    T *values, *last_keys;  // [channel][key], [16][channel]: those that are no whole tile
    T *queries, *probabilities;
    float *scores, *sums;

    AttentionColumns(const AttentionPlan<T>& p, ScratchPieces pieces, int64* bytes = nullptr) {
        values = pieces.take<T>(head_width * p.keys);
        last_keys = pieces.take<T>(16 * head_width);
        queries = pieces.take<T>(most_queries * head_width);
        probabilities = pieces.take<T>(most_queries * p.keys_at_once);
        scores = pieces.take<float>(most_queries * p.keys_at_once);
        sums = pieces.take<float>(most_queries * head_width);
        if (bytes) *bytes = pieces.used;
    }
};

template <class T, class F>
struct AttentionBackwardScratch {
    static constexpr int64 slack = panel_width * pair_size<F>;
    const F** rows;
    F* row_copies;
    F *keys, *keys_by_width, *values;          // packed for q·kᵀ, ds·k, dy·vᵀ
    F *probabilities, *ds, *ds_rows, *dy, *q;  // packed by pairs of queries; ds_rows by query
    float *scores, *dp, *dk, *dv;

    AttentionBackwardScratch(const AttentionPlan<T>& p, ScratchPieces pieces,
                             int64* bytes = nullptr) {
        rows = pieces.take<const F*>(p.block + most_tile_rows);
        row_copies = pieces.take<F>(std::is_same_v<T, F> ? 0 : p.block * p.shape.head_width);
        keys = pieces.take<F>(p.keys * p.width + slack);
        keys_by_width = pieces.take<F>(p.keys * p.width + slack);
        values = pieces.take<F>(p.keys * p.width + slack);
        probabilities = pieces.take<F>((p.block + 2) * p.keys + slack);
        ds = pieces.take<F>((p.block + 2) * p.keys + slack);
        ds_rows = pieces.take<F>((p.block + 2) * p.keys + slack);
        dy = pieces.take<F>((p.block + 2) * p.width);
        q = pieces.take<F>((p.block + 2) * p.width);
        scores = pieces.take<float>((p.block + most_tile_rows) * p.keys);
        dp = pieces.take<float>((p.block + most_tile_rows) * p.keys);
        dk = pieces.take<float>(p.keys * p.width);
        dv = pieces.take<float>(p.keys * p.width);
        if (bytes) *bytes = pieces.used;
    }
};

// Cuts the attention whose sizes are in `plan`; blocks depend on the sizes alone.
template <class T>
void divide(AttentionPlan<T>& plan, int64 threads, bool backward) {
    const AttentionShape& s = plan.shape;
    plan.scale = 1.0f / std::sqrt(static_cast<float>(s.head_width));
    const auto parts = [](int64 count, int64 most) { return (count + most - 1) / most; };
    const auto rounded = [=](int64 count, int64 unit) { return parts(count, unit) * unit; };
    // Masks that differ from query to query, which are those of small attentions, go by rows.
    const bool same_keys = plan.mask.data == nullptr || plan.mask.query_stride == 0;
    plan.by_columns =
        plan.has_tiles && !backward && same_keys && s.head_width == AttentionColumns<T>::head_width;
    plan.keys = rounded(s.keys, plan.by_columns ? 2 * panel_width : panel_width);
    plan.width = rounded(s.head_width, panel_width);
    const int64 most = plan.by_columns    ? AttentionColumns<T>::most_queries
                       : plan.keys <= 512 ? 96
                                          : 48;
    plan.block = rounded(parts(s.queries, parts(s.queries, most)), plan.by_columns ? 16 : 12);
    plan.blocks = parts(s.queries, plan.block);
    plan.keys_at_once = rounded(parts(plan.keys, parts(plan.keys, 96)), 2 * panel_width);
    const int64 heads = s.batch * s.heads;
    plan.tasks_per_head = backward ? 1 : std::clamp<int64>(4 * threads / heads, 1, plan.blocks);
    plan.blocks_per_task = (plan.blocks + plan.tasks_per_head - 1) / plan.tasks_per_head;
    plan.tasks_per_head = (plan.blocks + plan.blocks_per_task - 1) / plan.blocks_per_task;
    const auto measure = [&]<class F>(std::type_identity<F>) {
        if (plan.by_columns)
            AttentionColumns<T>(plan, {nullptr}, &plan.scratch_bytes);
        else if (backward)
            AttentionBackwardScratch<T, F>(plan, {nullptr}, &plan.scratch_bytes);
        else
            AttentionScratch<T, F>(plan, {nullptr}, &plan.scratch_bytes);
    };
    if (plan.factor_size == static_cast<int64>(sizeof(T)))
        measure(std::type_identity<T>{});
    else
        measure(std::type_identity<float>{});
}

}  // namespace dalle2::kernels
