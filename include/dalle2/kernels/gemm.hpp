// Linear layers and convolutions on vectors.
#pragma once

#include <cassert>

#include <dalle2/kernels/plain_gemm.hpp>
#include <dalle2/kernels/simd.hpp>

namespace dalle2::kernels::fast {

// Direct, or by Winograd's F(2×2, 3×3) or F(4×4, 3×3): a half and a third of the time.
enum class ConvMethod { direct, winograd2, winograd4 };

// Whether Winograd's method computes it.
template <class T>
bool winograd_fits(const ConvProblem<T>& p) {
    return p.kernel_height == 3 && p.kernel_width == 3 && p.stride == 1 &&
           p.channels % pair_size<T> == 0;
}

// The fastest method whose error stays below 0.01 of a sum's own size. Where products are of
// bfloat16, roundings within Winograd's method leave F(2×2) with 0.003 and F(4×4) with 0.008, where
// the rounding of the result alone is 0.0016; in float both are as exact as the direct sum. The
// transformation of the weights costs as much as four or eight tiles, so a picture of few tiles
// takes smaller ones. What a matrix unit multiplies costs less than the transformations.
template <class T>
ConvMethod conv_method(const ConvProblem<T>& p) {
    if (!winograd_fits(p) || p.channels < 16 || p.out_channels < 16) return ConvMethod::direct;
    if (!std::is_same_v<T, float> && current_isa() == Isa::amx) return ConvMethod::direct;
    const auto tiles = [&](int64 size) {
        return p.batch * ((p.out_height + size - 1) / size) * ((p.out_width + size - 1) / size);
    };
    if (tiles(4) >= 16) return ConvMethod::winograd4;
    return tiles(2) >= 16 ? ConvMethod::winograd2 : ConvMethod::direct;
}

// Runs the tasks of a plan, each thread with scratch of its own.
template <class Plan>
void run(const Plan& plan, void (*task)(const Plan&, int64, char*)) {
    const AlignedBuffer<char> scratch(plan.scratch_bytes * thread_count());
    parallel_for(plan.tasks(), [&](int64 i, int thread) {
        task(plan, i, scratch.get() + thread * plan.scratch_bytes);
    });
}

// Whether the moments of y cost less on the way than another look at it: where vectors make results
// of sums while a matrix unit makes more of those, and where y does not stay in a cache.
template <class T>
bool finds_moments(const ConvProblem<T>& p, ConvMethod method) {
    constexpr int64 least_bytes = 1 << 20;
    const int64 results = p.batch * p.out_height * p.out_width * p.out_channels;
    return method == ConvMethod::direct && vector_kernels<T>().has_tiles && p.kernel_width > 1 &&
           results * static_cast<int64>(sizeof(*p.y)) >= least_bytes &&
           p.out_width % MomentPieces::columns == 0 && p.out_height % MomentPieces::rows == 0 &&
           p.out_channels % MomentPieces::channels == 0;
}

// A method other than `direct` must fit. Where `found` is not null, it becomes the moments of y if
// those are found.
template <class T>
void run(const ConvProblem<T>& problem, ConvMethod method, ChannelMoments* found = nullptr) {
    assert(method == ConvMethod::direct ||
           (winograd_fits(problem) && problem.activation == Activation::none));
    if (method == ConvMethod::direct) {
        ConvPlan<T> plan{};
        static_cast<ConvProblem<T>&>(plan) = problem;
        const VectorKernels<T> kernels = vector_kernels<T>();
        plan.factor_size = kernels.factor_size;
        plan.chunk = kernels.chunk;
        plan.has_tiles = kernels.has_tiles;
        if constexpr (!std::is_same_v<T, std::int8_t>) plan.block_bytes = kernels.block_bytes;
        if (!found || !finds_moments(problem, method)) {
            divide(plan, thread_count());
            return run(plan, kernels.conv_task);
        }
        const AlignedBuffer<float> pieces(plan.batch * plan.pieces() * 2 * plan.out_channels);
        plan.piece_moments = pieces.get();
        divide(plan, thread_count());
        run(plan, kernels.conv_task);
        *found = ChannelMoments(plan.batch, plan.out_channels);
        return join_moment_pieces(pieces.get(), plan.pieces(), *found);
    }
    using Value = typename Product<T>::Value;
    WinogradPlan<Value, T> plan{};
    static_cast<ConvProblem<T>&>(plan) = problem;
    plan.tile = method == ConvMethod::winograd2 ? 2 : 4;
    const VectorKernels<Value> kernels = vector_kernels<Value>();
    plan.factor_size = kernels.factor_size;
    plan.whole_rows = kernels.whole_rows;
    plan.input_bytes = kernels.winograd_bytes;
    plan.least_tiles = kernels.winograd_tiles;
    divide(plan, thread_count());
    const AlignedBuffer<Value> zeros(plan.channels);
    std::fill_n(zeros.get(), plan.channels, Value(0));
    plan.zeros = zeros.get();
    if constexpr (std::is_same_v<T, std::int8_t>)
        run(plan, int8_winograd_task<bfloat16>());
    else
        run(plan, kernels.winograd_task);
}

template <class T>
void set_weights(ConvProblem<T>& problem, const PackedWeights<T>& w, const float* bias,
                 typename Product<T>::Value* y) {
    problem.kernel_height = w.kernel_height();
    problem.kernel_width = w.kernel_width();
    problem.w = w.data();
    problem.run = w.layout().run();
    problem.panel_stride = w.layout().panel_stride();
    problem.panels = w.layout().panels();
    problem.out_channels = w.out_channels();
    problem.bias = bias;
    problem.y = y;
}

template <class T>
ConvProblem<T> conv_problem(const Conv2dShape& s, const typename Product<T>::Value* x,
                            const PackedWeights<T>& w, const float* bias,
                            const Added<typename Product<T>::Value>& added,
                            typename Product<T>::Value* y) {
    ConvProblem<T> problem{};
    problem.x = x;
    problem.added = added;
    problem.batch = s.batch, problem.height = s.height, problem.width = s.width,
    problem.channels = s.in_channels;
    problem.stride = s.stride, problem.pad_y = problem.pad_x = s.padding;
    problem.out_height = s.out_height(), problem.out_width = s.out_width();
    set_weights(problem, w, bias, y);
    return problem;
}

template <class T>
void conv2d(const Conv2dShape& s, const T* x, const PackedWeights<T>& w, const float* bias, T* y,
            const Added<T>& added, ChannelMoments* found) {
    const ConvProblem<T> problem = conv_problem(s, x, w, bias, added, y);
    run(problem, conv_method(problem), found);
}

// y [rows, out] = activation(x [rows, in] · wᵀ + bias + added)
template <class T>
void linear(int64 rows, const T* x, const PackedWeights<T>& w, const float* bias, T* y,
            const Added<T>& added, Activation activation) {
    ConvProblem<T> problem = conv_problem(linear_shape(rows, w.layout()), x, w, bias, added, y);
    problem.activation = activation;
    run(problem, ConvMethod::direct);
}

// With stride 1, dx is a convolution of dy; other strides leave holes in it and take the plain
// loops.
template <class T>
void conv2d_input_gradient(const Conv2dShape& s, const T* dy, const PackedWeights<T>& transposed,
                           T* dx) {
    if (s.stride != 1 || s.padding >= s.kernel_height || s.padding >= s.kernel_width)
        return plain::conv2d_input_gradient(s, dy, transposed, dx);
    ConvProblem<T> problem{};
    problem.x = dy;
    problem.batch = s.batch, problem.height = s.out_height(), problem.width = s.out_width(),
    problem.channels = s.out_channels;
    problem.stride = 1, problem.pad_y = s.kernel_height - 1 - s.padding,
    problem.pad_x = s.kernel_width - 1 - s.padding;
    problem.out_height = s.height, problem.out_width = s.width;
    set_weights(problem, transposed, nullptr, dx);
    run(problem, conv_method(problem));
}

// As kernels::conv2d_weight_gradient.
template <class T>
void conv2d_weight_gradient(const Conv2dShape& s, const T* x, const T* dy, float* dw, float* dbias,
                            bool add) {
    WeightPlan<T> plan{};
    plan.x = x, plan.dy = dy;
    plan.batch = s.batch, plan.height = s.height, plan.width = s.width,
    plan.channels = s.in_channels;
    plan.out_channels = s.out_channels, plan.out_height = s.out_height(),
    plan.out_width = s.out_width();
    plan.kernel_height = s.kernel_height, plan.kernel_width = s.kernel_width;
    plan.stride = s.stride, plan.padding = s.padding;
    plan.factor_size = vector_kernels<T>().factor_size;
    plan.pair = plan.factor_size == static_cast<int64>(sizeof(T)) ? pair_size<T> : 1;
    const VectorGradients<T> kernels = vector_gradients<T>();
    plan.columns_at_once = kernels.columns_at_once;
    const int64 panels = (s.out_channels + panel_width - 1) / panel_width;
    plan.channels_together = panels < kernels.least_panels_together ? 0 : kernels.channels_together;
    divide(plan, thread_count());

    // What a micro-kernel may read beyond the last pixel.
    const int64 slack = panel_width * plan.pair * plan.factor_size;
    const int64 x_bytes = plan.groups_at_once * plan.x_group() * plan.factor_size;
    // A row that has no partner meets zeros.
    const int64 zero_count =
        panel_width +
        (plan.pair == 1 ? 0
                        : std::max(plan.width * plan.channels, plan.out_width * plan.out_channels));
    const AlignedBuffer<char> packed_x(x_bytes + slack);
    const AlignedBuffer<char> packed_dy(plan.panels * plan.groups_at_once * plan.group_pixels() *
                                        slack);
    const AlignedBuffer<T> zeros(zero_count);
    const AlignedBuffer<float> sums(plan.sums_size() * thread_count());
    std::fill_n(packed_x.get() + x_bytes, slack, char(0));
    std::fill_n(zeros.get(), zero_count, T(0));
    plan.packed_x = packed_x.get(), plan.packed_dy = packed_dy.get(), plan.zeros = zeros.get();
    plan.dw = dw, plan.dbias = dbias;

    for (int64 group = 0; group < plan.all_groups; group += plan.groups_at_once) {
        plan.first_group = group;
        plan.add = add || group > 0;
        plan.groups = std::min(plan.groups_at_once, plan.all_groups - group);
        parallel_for(plan.groups * (plan.in_rows + plan.strip_rows),
                     [&](int64 task, int) { kernels.weight_pack_task(plan, task); });
        parallel_for(plan.tasks(), [&](int64 task, int thread) {
            kernels.weight_multiply_task(plan, task, sums.get() + thread * plan.sums_size());
        });
    }
}

}  // namespace dalle2::kernels::fast
