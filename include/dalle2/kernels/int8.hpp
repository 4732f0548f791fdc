// Linear layers and convolutions with int8 weights. Inputs and outputs are bfloat16; on the way
// each input number becomes a byte, but not in the convolutions that conv_method gives to Winograd:
// products of bytes are at most twice as fast as those of bfloat16, and that method with these
// three times. (Where a matrix unit multiplies, it gets none: its products of bytes are twice as
// fast as the direct sum of bfloat16. So the layers of a model are chosen by what bytes make of
// them, on every processor.) The range that bytes cover is that of a whole picture for a
// convolution, that of a pixel (a row of a linear layer) where no neighbours meet. Results are the
// same bits for any number of threads. What is not finite makes its picture or row NaN, or by
// Winograd's method the tiles that it touches; never another picture.
#pragma once

#include <algorithm>
#include <optional>

#include <dalle2/kernels/gemm.hpp>
#include <dalle2/kernels/int8_weights.hpp>
#include <dalle2/kernels/plain_pack.hpp>

namespace dalle2::kernels {

// Whether all sums of such a layer fit into 32 bits.
inline bool fits_int8(int64 in, int64 kernel_height, int64 kernel_width) {
    return in * kernel_height * kernel_width <= longest_int8_sum;
}

// Rounds w [out, in, kernel_height, kernel_width]. Weights of an output that are scale·q already,
// the largest q 127, come out as the same q. The sizes must fit (see above).
inline Int8Weights pack_int8_weights(const float* w, int64 out, int64 in, int64 kernel_height,
                                     int64 kernel_width) {
    const PackedLayout<std::int8_t> layout = {out, in, kernel_height, kernel_width};
    AlignedBuffer<std::int8_t> packed(layout.size());
    AlignedBuffer<float> scales(layout.panels() * panel_width);
    AlignedBuffer<std::int32_t> sums(layout.panels() * panel_width);
    const auto task = vector_kernels<std::int8_t>().pack_task;
    parallel_for(layout.panels(), [&](int64 panel, int) {
        task(w, layout, panel, packed.get(), scales.get(), sums.get());
    });
    return {{layout, std::move(packed)}, std::move(scales), std::move(sums)};
}

// w [out, in, kernel_height, kernel_width] = scale·q.
inline void unpack_int8_weights(const Int8Weights& weights, float* w) {
    const PackedWeights<std::int8_t>& packed = weights.packed();
    plain::unpack(packed, w);
    const int64 run = packed.in_channels() * packed.kernel_height() * packed.kernel_width();
    for (int64 o = 0; o < packed.out_channels(); ++o, w += run)
        for (int64 i = 0; i < run; ++i) w[i] *= weights.scales()[o];
}

namespace detail {

// Of each picture of x [pictures, elements].
inline AlignedBuffer<Extremes> picture_extremes(int64 pictures, int64 elements, const bfloat16* x) {
    constexpr int64 most = 1 << 14;
    const int64 pieces = std::max<int64>(1, (elements + most - 1) / most);
    const AlignedBuffer<Extremes> extremes(pictures * pieces);
    const auto find = vector_kernels<std::int8_t>().extremes;
    parallel_for(pictures * pieces, [&](int64 task, int) {
        const int64 begin = task % pieces * most;
        extremes.get()[task] =
            find(std::min(most, elements - begin), x + task / pieces * elements + begin);
    });
    AlignedBuffer<Extremes> all(pictures);
    for (int64 picture = 0; picture < pictures; ++picture)
        all.get()[picture] = joined(extremes.get() + picture * pieces, pieces);
    return all;
}

}  // namespace detail

// Whether convolutions with int8 weights ask for the extremes of their input: where Winograd's
// method is no faster.
inline bool wants_extremes() { return current_isa() == Isa::amx; }

// y = x ∗ w + bias + added; the bias [out] may be null, and so may `found`, which becomes the
// moments of y where they cost little, and the extremes of each picture of x, which are found where
// they are wanted. By the fastest method, unless one is named.
inline void conv2d(const Conv2dShape& s, const bfloat16* x, const Int8Weights& w, const float* bias,
                   bfloat16* y, const Added<bfloat16>& added = {}, ChannelMoments* found = nullptr,
                   const Extremes* known = nullptr,
                   std::optional<fast::ConvMethod> named = std::nullopt) {
    ConvProblem<std::int8_t> problem =
        fast::conv_problem<std::int8_t>(s, x, w.packed(), bias, added, y);
    problem.column_scales = w.scales(), problem.column_sums = w.sums();
    const fast::ConvMethod method = named.value_or(fast::conv_method(problem));
    const bool of_pictures =
        method == fast::ConvMethod::direct &&
        (s.kernel_height != 1 || s.kernel_width != 1 || s.stride != 1 || s.padding != 0);
    AlignedBuffer<Extremes> extremes;
    AlignedBuffer<ByteRange> ranges;
    if (of_pictures) {
        if (known == nullptr) {
            extremes = detail::picture_extremes(s.batch, s.height * s.width * s.in_channels, x);
            known = extremes.get();
        }
        ranges = AlignedBuffer<ByteRange>(s.batch);
        std::transform(known, known + s.batch, ranges.get(), byte_range);
        problem.picture_ranges = ranges.get();
    }
    fast::run(problem, method, found);
}

// y [rows, out] = activation(x [rows, in] · wᵀ + bias + added).
inline void linear(int64 rows, const bfloat16* x, const Int8Weights& w, const float* bias,
                   bfloat16* y, const Added<bfloat16>& added = {},
                   Activation activation = Activation::none) {
    ConvProblem<std::int8_t> problem = fast::conv_problem<std::int8_t>(
        linear_shape(rows, w.packed().layout()), x, w.packed(), bias, added, y);
    problem.column_scales = w.scales(), problem.column_sums = w.sums();
    problem.activation = activation;
    fast::run(problem, fast::ConvMethod::direct);
}

}  // namespace dalle2::kernels
