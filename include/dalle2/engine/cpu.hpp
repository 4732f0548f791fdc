// The fast engine: packed weights, channels-last tensors of T (float, bfloat16; double for proofs),
// hand-written kernels. Sums are kept in float (double for double).
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <dalle2/core/stop_scope.hpp>
#include <dalle2/engine/concept.hpp>
#include <dalle2/engine/cpu_tensor.hpp>
#include <dalle2/engine/profile.hpp>
#include <dalle2/engine/weight_origin.hpp>
#include <dalle2/kernels/any_packed_weights.hpp>

namespace dalle2 {

template <class T>
struct Cpu {
    using Scalar = T;
    using Tensor = CpuTensor<T>;
    using Parameter = CpuParameter<T>;

    static Tensor from_array(const Array& array) { return cpu_tensor<T>(array); }
    static Array to_array(const Tensor& x) { return dalle2::to_array(x); }
    static const Shape& shape(const Tensor& x) { return x.shape(); }

    static void load(Parameter& parameter, const Array& values) {
        check_parameter_shape(parameter.shape(), shape_of(values));
        const BufferPool::Outside outside;  // it stays
        if constexpr (std::is_same_v<Accumulator<T>, float>) {
            parameter.load(values.data());
        } else {
            const std::vector<Accumulator<T>> wide(values.begin(), values.end());
            parameter.load(wide.data());
        }
    }
    // The same, row by row; returns how many values are infinite or not a number.
    static std::int64_t load_rows(Parameter& parameter, const kernels::RowReader& read)
        requires(!std::is_same_v<T, double>)
    {
        return parameter.load_rows(read);
    }
    // Weights that are packed already, where they are of this engine's type; returns whether it has
    // taken them.
    static bool load_packed(Parameter& parameter, const kernels::AnyPackedWeights& weights,
                            const WeightOrigin&)
        requires(!std::is_same_v<T, double>)
    {
        const auto* const packed = std::get_if<kernels::PackedWeights<T>>(&weights);
        return packed && parameter.take(*packed);
    }
    static Array store(const Parameter& parameter) {
        Array array = make_array(parameter.shape());
        const std::vector<Accumulator<T>> values = parameter.store();
        std::transform(values.begin(), values.end(), array.begin(),
                       [](auto value) { return static_cast<float>(value); });
        return array;
    }
    static Tensor value(const Parameter& parameter) {
        if (parameter.kind() != ParameterKind::vector) return parameter.tensor();
        Tensor x(parameter.shape());
        std::transform(parameter.vector(), parameter.vector() + x.count(), x.data(),
                       [](auto element) { return static_cast<T>(element); });
        return x;
    }

    static Tensor linear(const Tensor& x, const Parameter& weight, const Parameter* bias,
                         const Tensor* added = nullptr, Activation activation = Activation::none) {
        return linear_with(weight.packed(), x, weight.shape(), bias, added, activation);
    }

    static kernels::Conv2dShape conv2d_shape(const Shape& x, const Shape& weight,
                                             const Conv2dOptions& o) {
        conv2d_result(x, weight, o);  // throws for what has none
        return {.batch = x[0],
                .height = x[1],
                .width = x[2],
                .in_channels = weight[1],
                .out_channels = weight[0],
                .kernel_height = weight[2],
                .kernel_width = weight[3],
                .stride = o.stride,
                .padding = o.padding};
    }
    static Tensor conv2d(const Tensor& x, const Parameter& weight, const Parameter* bias,
                         const Conv2dOptions& o, const Tensor* added = nullptr) {
        return conv2d_with(weight.packed(), x, weight.shape(), bias, o, added);
    }

    static kernels::GroupNormShape group_norm_shape(const Tensor& x, const Parameter& scale,
                                                    const Tensor* modulation,
                                                    const GroupNormOptions& o) {
        check_groups(x.shape(), scale.shape()[0], o.groups);
        if (modulation) check_modulation(x.shape(), modulation->shape());
        return {.batch = x.extent(0),
                .pixels = x.pixels(),
                .channels = x.channels(),
                .groups = o.groups,
                .epsilon = o.epsilon,
                .activation = o.activation};
    }
    static Tensor group_norm(const Tensor& x, const Parameter& scale, const Parameter& shift,
                             const Tensor* modulation, const GroupNormOptions& o) {
        return group_norm_with(x, scale, shift, modulation, o, {});
    }

    static Tensor layer_norm(const Tensor& x, const Parameter& scale, const Parameter& shift,
                             double epsilon) {
        const auto profiled = profile(
            [&] { return operations::layer_norm(x.shape(), scale.shape(), shift.shape()); });
        check_last_axis("layer_norm", x.shape(), scale.shape()[0]);
        Tensor y(x.shape());
        kernels::layer_norm<T>(x.rows(), x.channels(), epsilon, x.data(), scale.vector(),
                               shift.vector(), y.data(), nullptr, nullptr);
        return y;
    }

    static kernels::AttentionShape attention_shape(const Tensor& q, const Tensor& k,
                                                   const Tensor& v, const AttentionOptions& o) {
        const Shape s = check_attention(q.shape(), k.shape(), v.shape(), o);
        return {.batch = s[0],
                .queries = s[1],
                .keys = k.extent(1),
                .heads = o.heads,
                .head_width = s[2] / o.heads};
    }
    static kernels::AttentionMask attention_mask(const Array* mask) {
        if (!mask) return {};
        const Shape s = shape_of(*mask);
        return {.data = mask->data(),
                .batch_stride = s[0] == 1 ? 0 : s[1] * s[2],
                .query_stride = s[1] == 1 ? 0 : s[2]};
    }
    static Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                            const AttentionOptions& o) {
        const auto profiled =
            profile([&] { return operations::attention(q.shape(), k.shape(), v.shape(), o); });
        StopScope::check();
        Tensor y(q.shape());
        kernels::attention<T>(attention_shape(q, k, v, o), q.data(), k.data(), v.data(),
                              attention_mask(o.mask), y.data(), nullptr);
        return y;
    }

    static Tensor activate(const Tensor& x, Activation activation) {
        const auto profiled = profile([&] { return operations::activate(x.shape()); });
        Tensor y(x.shape());
        kernels::activate(activation, x.count(), x.data(), y.data());
        return y;
    }

    static Tensor add(const Tensor& x, const Tensor& y) {
        const auto profiled = profile([&] { return operations::add(x.shape(), y.shape()); });
        check_suffix("add", x.shape(), y.shape());
        Tensor z(x.shape());
        if (x.count() == y.count())
            kernels::add(x.count(), x.data(), y.data(), z.data());
        else
            kernels::add_repeated(x.count() / y.count(), y.count(), x.data(), y.data(), z.data());
        return z;
    }
    static Tensor add_per_channel(const Tensor& x, const Tensor& y) {
        const auto profiled =
            profile([&] { return operations::add_per_channel(x.shape(), y.shape()); });
        check_per_channel(x.shape(), y.shape());
        Tensor z(x.shape());
        kernels::add_per_channel(x.extent(0), x.pixels(), x.channels(), x.data(), y.data(),
                                 z.data());
        return z;
    }
    static Tensor scale(const Tensor& x, double factor) {
        const auto profiled = profile([&] { return operations::scale(x.shape()); });
        Tensor y(x.shape());
        kernels::scale(x.count(), factor, x.data(), y.data());
        return y;
    }

    static Tensor concatenate(const std::vector<Tensor>& parts, std::int64_t axis) {
        std::vector<Shape> shapes;
        for (const Tensor& part : parts) shapes.push_back(part.shape());
        const auto profiled = profile([&] { return operations::concatenate(shapes, axis); });
        const ConcatenationPlan plan(shapes, axis);
        Tensor y(plan.result);
        const std::int64_t stride =
            std::accumulate(plan.run_lengths.begin(), plan.run_lengths.end(), std::int64_t{0});
        std::int64_t offset = 0;
        for (std::size_t i = 0; i < parts.size(); ++i) {
            kernels::copy_runs(plan.outer, plan.run_lengths[i], parts[i].data(),
                               plan.run_lengths[i], y.data() + offset, stride);
            offset += plan.run_lengths[i];
        }
        if (plan.outer == y.rows() && !parts.front().moments().empty()) {
            std::vector<kernels::ChannelMoments> moments;
            for (const Tensor& part : parts) moments.push_back(part.moments());
            y.set_moments(kernels::concatenated(moments));
        }
        return y;
    }
    static Tensor slice(const Tensor& x, std::int64_t axis, std::int64_t begin, std::int64_t end) {
        const auto profiled =
            profile([&] { return operations::slice(x.shape(), axis, begin, end); });
        const SlicePlan plan(x.shape(), axis, begin, end);
        Tensor y(plan.result);
        kernels::copy_runs(plan.outer, plan.length, x.data() + plan.offset, plan.stride, y.data(),
                           plan.length);
        return y;
    }
    static Tensor reshape(const Tensor& x, const Shape& shape) { return x.reshaped(shape); }
    static Tensor transpose(const Tensor& x) {
        const auto profiled = profile([&] { return operations::transpose(x.shape()); });
        Shape shape = x.shape();
        if (shape.size() < 2)
            throw ShapeError("transpose: " + to_string(shape) + ", expected at least two axes");
        const std::int64_t rows = shape[shape.size() - 2], columns = shape.back();
        std::swap(shape[shape.size() - 2], shape.back());
        Tensor y(shape);
        kernels::transpose(x.count() / (rows * columns), rows, columns, x.data(), y.data());
        return y;
    }
    static Tensor repeat(const Tensor& x, std::int64_t times) {
        const auto profiled = profile([&] { return operations::repeat(x.shape(), times); });
        Shape shape = x.shape();
        shape.front() *= times;
        Tensor y(shape);
        kernels::copy_runs(times, x.count(), x.data(), 0, y.data(), x.count());
        return y;
    }

    static Tensor average_pool2(const Tensor& x) {
        const auto profiled = profile([&] { return operations::average_pool2(x.shape()); });
        const Shape s = check_picture("average_pool2", x.shape(), x.channels());
        Tensor y({s[0], s[1] / 2, s[2] / 2, s[3]});
        kernels::average_pool2(s[0], s[1], s[2], s[3], x.data(), y.data());
        return y;
    }
    static Tensor upsample_nearest2(const Tensor& x) {
        const auto profiled = profile([&] { return operations::upsample_nearest2(x.shape()); });
        const Shape s = check_picture("upsample_nearest2", x.shape(), x.channels());
        Tensor y({s[0], 2 * s[1], 2 * s[2], s[3]});
        kernels::upsample_nearest2(s[0], s[1], s[2], s[3], x.data(), y.data());
        return y;
    }

    static Tensor embedding(const Parameter& table, std::span<const std::int32_t> ids) {
        const auto profiled = profile([&] { return operations::embedding(table.shape(), ids); });
        const std::int64_t width = table.shape()[1];
        Tensor y({static_cast<std::int64_t>(ids.size()), width});
        T* out = y.data();
        for (const std::int32_t id : ids)
            out = std::copy_n(table.tensor().data() + check_id(id, table.shape()[0]) * width, width,
                              out);
        return y;
    }
    static Tensor select_tokens(const Tensor& x, std::span<const std::int32_t> positions) {
        const auto profiled =
            profile([&] { return operations::select_tokens(x.shape(), positions); });
        const Shape s = check_selection(x.shape(), positions);
        Tensor y({s[0], s[2]});
        T* out = y.data();
        for (std::int64_t b = 0; b < s[0]; ++b)
            out = std::copy_n(x.data() + (b * s[1] + positions[static_cast<std::size_t>(b)]) * s[2],
                              s[2], out);
        return y;
    }

protected:
    // Finds the extremes of each picture of the result, if there is room for them.
    static Tensor group_norm_with(const Tensor& x, const Parameter& scale, const Parameter& shift,
                                  const Tensor* modulation, const GroupNormOptions& o,
                                  kernels::AlignedBuffer<kernels::Extremes> extremes) {
        const auto profiled = profile([&] {
            return operations::group_norm(x.shape(), scale.shape(), shift.shape(),
                                          shape_or_null(modulation), o);
        });
        Tensor y(x.shape());
        kernels::group_norm<T>(group_norm_shape(x, scale, modulation, o), x.data(), scale.vector(),
                               shift.vector(), modulation ? modulation->data() : nullptr, y.data(),
                               nullptr, nullptr, x.moments(), extremes.get());
        y.set_extremes(std::move(extremes));
        return y;
    }
    // With weights as their kernels take them; `weight` is their shape.
    template <class Weights>
    static Tensor linear_with(const Weights& weights, const Tensor& x, const Shape& weight,
                              const Parameter* bias, const Tensor* added, Activation activation) {
        const auto profiled = profile([&] {
            return cost_with<Weights>(
                operations::linear(x.shape(), weight, shape_or_null(bias), shape_or_null(added)));
        });
        StopScope::check();
        check_last_axis("linear", x.shape(), weight[1]);
        Shape shape = x.shape();
        shape.back() = weight[0];
        if (added) check_added("linear", shape, added->shape());
        Tensor y(shape);
        kernels::linear(x.rows(), x.data(), weights, bias ? bias->vector() : nullptr, y.data(),
                        added_to(y, added), activation);
        return y;
    }
    // `method` is what kernels::conv2d takes besides for some weights.
    template <class Weights, class... Method>
    static Tensor conv2d_with(const Weights& weights, const Tensor& x, const Shape& weight,
                              const Parameter* bias, const Conv2dOptions& o, const Tensor* added,
                              Method... method) {
        const auto profiled = profile([&] {
            return cost_with<Weights>(operations::conv2d(x.shape(), weight, shape_or_null(bias), o,
                                                         shape_or_null(added)));
        });
        StopScope::check();
        const kernels::Conv2dShape shape = conv2d_shape(x.shape(), weight, o);
        Tensor y({shape.batch, shape.out_height(), shape.out_width(), shape.out_channels});
        if (added) check_added("conv2d", y.shape(), added->shape());
        kernels::ChannelMoments moments;
        if constexpr (std::is_same_v<Weights, kernels::Int8Weights>)
            kernels::conv2d(shape, x.data(), weights, bias ? bias->vector() : nullptr, y.data(),
                            added_to(y, added), &moments, x.extremes(), method...);
        else
            kernels::conv2d(shape, x.data(), weights, bias ? bias->vector() : nullptr, y.data(),
                            added_to(y, added), &moments);
        y.set_moments(std::move(moments));
        return y;
    }

private:
    static kernels::Added<T> added_to(const Tensor& y, const Tensor* added) {
        if (!added) return {};
        return {.data = added->data(), .per_picture = added->shape().size() < y.shape().size()};
    }
    // Times what happens while the result lives, when somebody wants to know.
    template <class Describe>
    static ProfiledOperation<Describe> profile(Describe describe) {
        return ProfiledOperation<Describe>(sizeof(T), std::move(describe));
    }
    // A product with int8 weights has a name of its own, and reads a byte for each weight and a
    // scale for each output.
    template <class Weights>
    static OperationCost cost_with(OperationCost cost) {
        if constexpr (std::is_same_v<Weights, kernels::Int8Weights>) {
            const Shape& weight = cost.inputs[1];
            cost.operation += " int8";
            cost.weight_bytes =
                element_count(weight) + weight[0] * static_cast<std::int64_t>(sizeof(float));
        }
        return cost;
    }
    template <class Shaped>
    static const Shape* shape_or_null(const Shaped* shaped) {
        return shaped ? &shaped->shape() : nullptr;
    }
};

static_assert(Engine<Cpu<float>> && Engine<Cpu<bfloat16>>);

}  // namespace dalle2
