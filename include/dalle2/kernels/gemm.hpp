// Linear layers and convolutions on vectors.
#pragma once

#include <dalle2/kernels/plain_gemm.hpp>
#include <dalle2/kernels/simd.hpp>

namespace dalle2::kernels::fast {

// Runs the tasks of a plan, each thread with scratch of its own.
template <class T>
void run(ConvPlan<T>& plan) {
    divide(plan, thread_count());
    const auto task = vector_kernels<T>().conv_task;
    const AlignedBuffer<char> scratch(plan.scratch_bytes * thread_count());
    parallel_for(plan.tasks(), [&](int64 i, int thread) {
        task(plan, i, scratch.get() + thread * plan.scratch_bytes);
    });
}

template <class T>
void set_weights(ConvPlan<T>& plan, const PackedWeights<T>& w, const float* bias, T* y) {
    plan.kernel_height = w.kernel_height();
    plan.kernel_width = w.kernel_width();
    plan.w = w.data();
    plan.run = w.layout().run();
    plan.panel_stride = w.layout().panel_stride();
    plan.panels = w.layout().panels();
    plan.out_channels = w.out_channels();
    plan.bias = bias;
    plan.y = y;
}

template <class T>
void conv2d(const Conv2dShape& s, const T* x, const PackedWeights<T>& w, const float* bias, T* y) {
    ConvPlan<T> plan{};
    plan.x = x;
    plan.batch = s.batch, plan.height = s.height, plan.width = s.width,
    plan.channels = s.in_channels;
    plan.stride = s.stride, plan.pad_y = plan.pad_x = s.padding;
    plan.out_height = s.out_height(), plan.out_width = s.out_width();
    set_weights(plan, w, bias, y);
    run(plan);
}

// With stride 1, dx is a convolution of dy; other strides leave holes in it and take the plain
// loops.
template <class T>
void conv2d_input_gradient(const Conv2dShape& s, const T* dy, const PackedWeights<T>& transposed,
                           T* dx) {
    if (s.stride != 1 || s.padding >= s.kernel_height || s.padding >= s.kernel_width)
        return plain::conv2d_input_gradient(s, dy, transposed, dx);
    ConvPlan<T> plan{};
    plan.x = dy;
    plan.batch = s.batch, plan.height = s.out_height(), plan.width = s.out_width(),
    plan.channels = s.out_channels;
    plan.stride = 1, plan.pad_y = s.kernel_height - 1 - s.padding,
    plan.pad_x = s.kernel_width - 1 - s.padding;
    plan.out_height = s.height, plan.out_width = s.width;
    set_weights(plan, transposed, nullptr, dx);
    run(plan);
}

// Adds to dw [out, in, kernel_height, kernel_width] and to dbias [out], which may be null.
template <class T>
void conv2d_weight_gradient(const Conv2dShape& s, const T* x, const T* dy, float* dw,
                            float* dbias) {
    WeightPlan<T> plan{};
    plan.x = x, plan.dy = dy;
    plan.batch = s.batch, plan.height = s.height, plan.width = s.width,
    plan.channels = s.in_channels;
    plan.out_channels = s.out_channels, plan.out_height = s.out_height(),
    plan.out_width = s.out_width();
    plan.kernel_height = s.kernel_height, plan.kernel_width = s.kernel_width;
    plan.stride = s.stride, plan.padding = s.padding;
    divide(plan, thread_count());

    // What a micro-kernel may read beyond the last pixel.
    constexpr int64 slack = panel_width * pair_size<T>;
    const int64 x_count = plan.groups * plan.x_group();
    const int64 zero_count =
        std::max(plan.width * plan.channels, plan.out_width * plan.out_channels) + panel_width;
    const AlignedBuffer<T> packed_x(x_count + slack), zeros(zero_count);
    const AlignedBuffer<T> packed_dy(plan.panels * plan.groups * plan.group_pixels() * slack);
    const AlignedBuffer<float> sums(plan.sums_size() * thread_count());
    std::fill_n(packed_x.get() + x_count, slack, T(0));
    std::fill_n(zeros.get(), zero_count, T(0));
    plan.packed_x = packed_x.get(), plan.packed_dy = packed_dy.get(), plan.zeros = zeros.get();
    plan.dw = dw, plan.dbias = dbias;

    const VectorGradients<T> kernels = vector_gradients<T>();
    parallel_for(plan.groups * (plan.in_rows + plan.strip_rows),
                 [&](int64 task, int) { kernels.weight_pack_task(plan, task); });
    parallel_for(plan.tasks(), [&](int64 task, int thread) {
        kernels.weight_multiply_task(plan, task, sums.get() + thread * plan.sums_size());
    });
}

}  // namespace dalle2::kernels::fast
