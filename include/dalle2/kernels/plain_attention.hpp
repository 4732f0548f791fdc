// Attention in plain loops, for every scalar type.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <dalle2/core/bfloat16.hpp>
#include <dalle2/kernels/packed_weights.hpp>
#include <dalle2/kernels/shapes.hpp>

namespace dalle2::kernels::plain {

template <class T>
using Sum = Accumulator<T>;

// scores[key] = q·k/√d + mask of one query of one head.
template <class T>
void attention_scores(const AttentionShape& s, const T* q, const T* k, const float* mask,
                      Sum<T>* scores) {
    const Sum<T> scale = Sum<T>(1) / std::sqrt(static_cast<Sum<T>>(s.head_width));
    for (int64 key = 0; key < s.keys; ++key) {
        Sum<T> sum = 0;
        for (int64 i = 0; i < s.head_width; ++i)
            sum += static_cast<Sum<T>>(q[i]) * static_cast<Sum<T>>(k[key * s.width() + i]);
        scores[key] = sum * scale + (mask ? static_cast<Sum<T>>(mask[key]) : Sum<T>(0));
    }
}

template <class T>
void attention(const AttentionShape& s, const T* q, const T* k, const T* v, AttentionMask mask,
               T* y, Sum<T>* log_sum_exp) {
    const int64 width = s.width();
    const int64 each = s.keys + s.head_width;  // what a thread needs: see p and sum
    const AlignedBuffer<Sum<T>> scratch(thread_count() * each);
    parallel_for(s.batch * s.heads, [&](int64 task, int thread) {
        const int64 b = task / s.heads, head = task % s.heads, offset = head * s.head_width;
        const T* keys = k + b * s.keys * width + offset;
        const T* values = v + b * s.keys * width + offset;
        Sum<T>*const p = scratch.get() + thread * each, *const sum = p + s.keys;
        for (int64 query = 0; query < s.queries; ++query) {
            const int64 row = (b * s.queries + query) * width + offset;
            attention_scores(
                s, q + row, keys,
                mask.data ? mask.data + b * mask.batch_stride + query * mask.query_stride : nullptr,
                p);
            Sum<T> largest = -std::numeric_limits<Sum<T>>::infinity(), total = 0;
            for (int64 key = 0; key < s.keys; ++key) largest = p[key] > largest ? p[key] : largest;
            // A query that may look nowhere sees zero, not NaN.
            if (std::isinf(largest) && largest < 0) largest = 0;
            for (int64 key = 0; key < s.keys; ++key) total += p[key] = std::exp(p[key] - largest);
            std::fill_n(sum, s.head_width, Sum<T>(0));
            for (int64 key = 0; key < s.keys; ++key)
                for (int64 i = 0; i < s.head_width; ++i)
                    sum[i] += p[key] * static_cast<Sum<T>>(values[key * width + i]);
            for (int64 i = 0; i < s.head_width; ++i)
                y[row + i] = static_cast<T>(total == 0 ? Sum<T>(0) : sum[i] / total);
            if (log_sum_exp) log_sum_exp[task * s.queries + query] = largest + std::log(total);
        }
    });
}

template <class T>
void attention_backward(const AttentionShape& s, const T* q, const T* k, const T* v,
                        AttentionMask mask, const T* y, const Sum<T>* log_sum_exp, const T* dy,
                        T* dq, T* dk, T* dv) {
    const int64 width = s.width();
    const Sum<T> scale = Sum<T>(1) / std::sqrt(static_cast<Sum<T>>(s.head_width));
    const int64 count = s.keys * s.head_width;
    const int64 each = s.keys + s.head_width + 2 * count;  // what a thread needs: see p and dqs
    const AlignedBuffer<Sum<T>> scratch(thread_count() * each);
    parallel_for(s.batch * s.heads, [&](int64 task, int thread) {
        const int64 b = task / s.heads, head = task % s.heads, offset = head * s.head_width;
        const int64 first_key = b * s.keys * width + offset;
        Sum<T>*const p = scratch.get() + thread * each, *const dqs = p + s.keys,
                     *const dks = dqs + s.head_width, *const dvs = dks + count;
        std::fill_n(dks, 2 * count, Sum<T>(0));
        for (int64 query = 0; query < s.queries; ++query) {
            const int64 row = (b * s.queries + query) * width + offset;
            attention_scores(
                s, q + row, k + first_key,
                mask.data ? mask.data + b * mask.batch_stride + query * mask.query_stride : nullptr,
                p);
            const Sum<T> lse = log_sum_exp[task * s.queries + query];
            Sum<T> inner = 0;
            for (int64 i = 0; i < s.head_width; ++i)
                inner += static_cast<Sum<T>>(y[row + i]) * static_cast<Sum<T>>(dy[row + i]);
            std::fill_n(dqs, s.head_width, Sum<T>(0));
            for (int64 key = 0; key < s.keys; ++key) {
                const Sum<T> probability =
                    std::isinf(lse) && lse < 0 ? Sum<T>(0) : std::exp(p[key] - lse);
                Sum<T> dp = 0;
                for (int64 i = 0; i < s.head_width; ++i)
                    dp += static_cast<Sum<T>>(dy[row + i]) *
                          static_cast<Sum<T>>(v[first_key + key * width + i]);
                const Sum<T> ds = probability * (dp - inner) * scale;
                for (int64 i = 0; i < s.head_width; ++i) {
                    const int64 at = key * s.head_width + i;
                    dvs[at] += probability * static_cast<Sum<T>>(dy[row + i]);
                    dks[at] += ds * static_cast<Sum<T>>(q[row + i]);
                    dqs[i] += ds * static_cast<Sum<T>>(k[first_key + key * width + i]);
                }
            }
            for (int64 i = 0; i < s.head_width; ++i) dq[row + i] = static_cast<T>(dqs[i]);
        }
        for (int64 key = 0; key < s.keys; ++key)
            for (int64 i = 0; i < s.head_width; ++i) {
                const int64 at = key * s.head_width + i;
                dk[first_key + key * width + i] = static_cast<T>(dks[at]);
                dv[first_key + key * width + i] = static_cast<T>(dvs[at]);
            }
    });
}

}  // namespace dalle2::kernels::plain
