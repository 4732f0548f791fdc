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
    plan.keys = (s.keys + panel_width - 1) / panel_width * panel_width;
    plan.width = (s.head_width + panel_width - 1) / panel_width * panel_width;
    const int64 most = plan.keys <= 512 ? 96 : 48;
    plan.blocks = (s.queries + most - 1) / most;
    plan.block = ((s.queries + plan.blocks - 1) / plan.blocks + 11) / 12 * 12;
    plan.blocks = (s.queries + plan.block - 1) / plan.block;
    const int64 heads = s.batch * s.heads;
    plan.tasks_per_head = backward ? 1 : std::clamp<int64>(4 * threads / heads, 1, plan.blocks);
    plan.blocks_per_task = (plan.blocks + plan.tasks_per_head - 1) / plan.tasks_per_head;
    plan.tasks_per_head = (plan.blocks + plan.blocks_per_task - 1) / plan.blocks_per_task;
    const auto measure = [&]<class F>(std::type_identity<F>) {
        if (backward)
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
