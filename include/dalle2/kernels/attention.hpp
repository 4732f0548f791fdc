// Attention on vectors.
#pragma once

#include <dalle2/kernels/plain_attention.hpp>
#include <dalle2/kernels/simd.hpp>

namespace dalle2::kernels::fast {

template <class T>
void attention(const AttentionShape& s, const T* q, const T* k, const T* v, AttentionMask mask,
               T* y, float* log_sum_exp) {
    // Heads of odd width would split the pairs of a bfloat16 product.
    if (s.head_width % pair_size<T> != 0) return plain::attention(s, q, k, v, mask, y, log_sum_exp);
    AttentionPlan<T> plan{};
    plan.shape = s, plan.mask = mask;
    plan.q = q, plan.k = k, plan.v = v, plan.y = y, plan.log_sum_exp = log_sum_exp;
    const VectorKernels<T> kernels = vector_kernels<T>();
    plan.factor_size = kernels.factor_size;
    plan.has_tiles = kernels.has_tiles;
    divide(plan, thread_count(), false);
    const auto kernel = kernels.attention_task;
    const AlignedBuffer<char> scratch(plan.scratch_bytes * thread_count());
    parallel_for(plan.tasks(), [&](int64 task, int thread) {
        kernel(plan, task, scratch.get() + thread * plan.scratch_bytes);
    });
}

template <class T>
void attention_backward(const AttentionShape& s, const T* q, const T* k, const T* v,
                        AttentionMask mask, const T* y, const float* log_sum_exp, const T* dy,
                        T* dq, T* dk, T* dv) {
    if (s.head_width % pair_size<T> != 0)
        return plain::attention_backward(s, q, k, v, mask, y, log_sum_exp, dy, dq, dk, dv);
    AttentionPlan<T> plan{};
    plan.shape = s, plan.mask = mask;
    plan.q = q, plan.k = k, plan.v = v, plan.dy = dy, plan.dq = dq, plan.dk = dk, plan.dv = dv;
    plan.forward_y = y, plan.forward_log_sum_exp = log_sum_exp;
    plan.factor_size = vector_kernels<T>().factor_size;
    divide(plan, thread_count(), true);
    const auto kernel = vector_gradients<T>().attention_backward_task;
    const AlignedBuffer<char> scratch(plan.scratch_bytes * thread_count());
    parallel_for(plan.tasks(), [&](int64 task, int thread) {
        kernel(plan, task, scratch.get() + thread * plan.scratch_bytes);
    });
}

}  // namespace dalle2::kernels::fast
