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
    parallel_for(plan.tasks(),
                 [&](int64 i, int thread) { task(plan, i, scratch.get() + thread * plan.scratch_bytes); });
}

template <class T>
void set_weights(ConvPlan<T>& plan, const PackedWeights<T>& w, const float* bias, T* y) {
    plan.kernel_height = w.kernel_height();
    plan.kernel_width = w.kernel_width();
    plan.w = w.data();
    plan.run = w.run();
    plan.panel_stride = w.panel_stride();
    plan.panels = w.panels();
    plan.out_channels = w.out_channels();
    plan.bias = bias;
    plan.y = y;
}

template <class T>
void conv2d(const Conv2dShape& s, const T* x, const PackedWeights<T>& w, const float* bias, T* y) {
    ConvPlan<T> plan{};
    plan.x = x;
    plan.batch = s.batch, plan.height = s.height, plan.width = s.width, plan.channels = s.in_channels;
    plan.stride = s.stride, plan.pad_y = plan.pad_x = s.padding;
    plan.out_height = s.out_height(), plan.out_width = s.out_width();
    set_weights(plan, w, bias, y);
    run(plan);
}

// With stride 1, dx is a convolution of dy; other strides leave holes in it and take the plain loops.
template <class T>
void conv2d_input_gradient(const Conv2dShape& s, const T* dy, const PackedWeights<T>& transposed, T* dx) {
    if (s.stride != 1 || s.padding >= s.kernel_height || s.padding >= s.kernel_width)
        return plain::conv2d_input_gradient(s, dy, transposed, dx);
    ConvPlan<T> plan{};
    plan.x = dy;
    plan.batch = s.batch, plan.height = s.out_height(), plan.width = s.out_width(), plan.channels = s.out_channels;
    plan.stride = 1, plan.pad_y = s.kernel_height - 1 - s.padding, plan.pad_x = s.kernel_width - 1 - s.padding;
    plan.out_height = s.height, plan.out_width = s.width;
    set_weights(plan, transposed, nullptr, dx);
    run(plan);
}

}  // namespace dalle2::kernels::fast
