// The fast engine with int8 weights where they serve: tensors are bfloat16, and a linear layer or a
// convolution holds its weights as int8 or as bfloat16, whichever was chosen for it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <dalle2/engine/cpu.hpp>
#include <dalle2/engine/int8_rule.hpp>
#include <dalle2/engine/weight_origin.hpp>

namespace dalle2 {

class Int8Parameter : public CpuParameter<bfloat16> {
public:
    using CpuParameter::CpuParameter;

    // In bfloat16, or in int8: what was loaded before is gone, in whichever form it was. values:
    // row-major, in the order of shape(), which for int8 must be that of a matrix or a convolution.
    void load(const float* values) {
        CpuParameter::load(values);
        int8_ = {};
    }
    // The same, row by row: see CpuParameter::load_rows.
    std::int64_t load_rows(const kernels::RowReader& read) {
        int8_ = {};
        return CpuParameter::load_rows(read);
    }
    std::int64_t load_int8_rows(const kernels::RowReader& read) {
        std::int64_t not_finite = 0;
        int8_ =
            kernels::pack_int8_rows(kernels::packed_layout<std::int8_t>(shape()), read, not_finite);
        unload();
        return not_finite;
    }
    // In int8 where that leaves `least_decibels` of the weights' signal above its noise.
    std::int64_t load_rows_in_int8_if_near(const kernels::RowReader& read, double least_decibels) {
        const auto layout = kernels::packed_layout<std::int8_t>(shape());
        Int8Rounding rounding(layout.out, layout.in * layout.kernel_height * layout.kernel_width);
        std::int64_t not_finite = 0;
        int8_ = kernels::pack_int8_rows(
            layout, read, not_finite,
            [&](std::int64_t first, std::int64_t count, const float* values, const float* scales) {
                rounding.add(first, count, values, scales);
            });
        if (not_finite > 0 || !(rounding.decibels() >= least_decibels)) return load_rows(read);
        unload();
        return 0;
    }
    // Weights that are packed already: see CpuParameter::take.
    bool take(const kernels::PackedWeights<bfloat16>& weights) {
        int8_ = {};
        return CpuParameter::take(weights);
    }
    bool take(const kernels::Int8Weights& weights) {
        if (!detail::is_layout_of(weights.packed().layout(), shape(), kind())) return false;
        int8_ = weights;
        unload();
        return true;
    }
    // In both forms, to be compared.
    void load_both(const float* values) {
        CpuParameter::load(values);
        int8_ = packed_int8(values);
    }
    bool is_int8() const { return !int8_.empty(); }
    const kernels::Int8Weights& int8() const { return int8_; }

    // The inverse of loading, but for rounding.
    std::vector<float> store() const {
        if (!is_int8()) return CpuParameter::store();
        std::vector<float> values(static_cast<std::size_t>(element_count(shape())));
        kernels::unpack_int8_weights(int8_, values.data());
        return values;
    }

private:
    kernels::Int8Weights packed_int8(const float* values) const {
        const BufferPool::Outside outside;  // they stay
        const auto layout = kernels::packed_layout<std::int8_t>(shape());
        return kernels::pack_int8_weights(values, layout.out, layout.in, layout.kernel_height,
                                          layout.kernel_width);
    }

    kernels::Int8Weights int8_;
};

template <>
struct Cpu<std::int8_t> : Cpu<bfloat16> {
    using Parameter = Int8Parameter;

    // Chooses int8 where the file did. Where it knows no int8, by a rule for weights alone: that of
    // int8_unmeasured, where rounding hardly changes them.
    static void load(Parameter& parameter, const Array& values, const WeightOrigin& origin = {}) {
        check_parameter_shape(parameter.shape(), shape_of(values));
        const Shape& shape = parameter.shape();
        const std::int64_t rows = shape.empty() ? 1 : shape[0];
        load_rows(parameter,
                  kernels::rows_of(values.data(),
                                   rows > 0 ? static_cast<std::int64_t>(values.size()) / rows : 0),
                  origin);
    }
    // The same, row by row; returns how many values are infinite or not a number.
    static std::int64_t load_rows(Parameter& parameter, const kernels::RowReader& read,
                                  const WeightOrigin& origin) {
        switch (origin.precision) {
            case WeightOrigin::Precision::int8:
                if (can_be_int8(parameter)) return parameter.load_int8_rows(read);
                break;
            case WeightOrigin::Precision::undecided:
                if (int8_unmeasured(origin.name, parameter.shape(), parameter.kind()))
                    return parameter.load_rows_in_int8_if_near(read, least_unmeasured_decibels);
                break;
            case WeightOrigin::Precision::other: break;
        }
        return parameter.load_rows(read);
    }
    // The same, if they are packed already, and nothing is left to be decided.
    static bool load_packed(Parameter& parameter, const kernels::AnyPackedWeights& weights,
                            const WeightOrigin& origin) {
        if (const auto* const int8 = std::get_if<kernels::Int8Weights>(&weights))
            return can_be_int8(parameter) && parameter.take(*int8);
        const auto* const packed = std::get_if<kernels::PackedWeights<bfloat16>>(&weights);
        return packed && origin.precision == WeightOrigin::Precision::other &&
               parameter.take(*packed);
    }
    static Array store(const Parameter& parameter) {
        Array array = make_array(parameter.shape());
        const std::vector<float> values = parameter.store();
        std::copy(values.begin(), values.end(), array.begin());
        return array;
    }

    // What a norm makes goes into a convolution.
    static Tensor group_norm(const Tensor& x, const CpuParameter<bfloat16>& scale,
                             const CpuParameter<bfloat16>& shift, const Tensor* modulation,
                             const GroupNormOptions& o) {
        kernels::AlignedBuffer<kernels::Extremes> extremes;
        if (kernels::wants_extremes())
            extremes = kernels::AlignedBuffer<kernels::Extremes>(x.extent(0));
        return group_norm_with(x, scale, shift, modulation, o, std::move(extremes));
    }

    static Tensor linear(const Tensor& x, const Parameter& weight, const Parameter* bias,
                         const Tensor* added = nullptr, Activation activation = Activation::none) {
        return weight.is_int8()
                   ? linear_with(weight.int8(), x, weight.shape(), bias, added, activation)
                   : Cpu<bfloat16>::linear(x, weight, bias, added, activation);
    }
    static Tensor conv2d(const Tensor& x, const Parameter& weight, const Parameter* bias,
                         const Conv2dOptions& o, const Tensor* added = nullptr) {
        return weight.is_int8() ? conv2d_with(weight.int8(), x, weight.shape(), bias, o, added)
                                : Cpu<bfloat16>::conv2d(x, weight, bias, o, added);
    }

private:
    // Whether its sums fit; a file may say int8 of any tensor.
    static bool can_be_int8(const Parameter& parameter) {
        const Shape& s = parameter.shape();
        if (parameter.kind() == ParameterKind::matrix) return kernels::fits_int8(s[1], 1, 1);
        return parameter.kind() == ParameterKind::convolution &&
               kernels::fits_int8(s[1], s[2], s[3]);
    }
};

static_assert(Engine<Cpu<std::int8_t>>);

}  // namespace dalle2
