// The textbook engine: each operation in a few lines over xtensor and Eigen, with no thought of
// speed. It is what every other engine is compared with, and the place to read what an operation
// is.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <numbers>

#include <Eigen/Core>

#include <dalle2/core/stop_scope.hpp>
#include <dalle2/engine/concept.hpp>
#include <dalle2/engine/plus.hpp>
#include <dalle2/engine/shape_checks.hpp>

namespace dalle2 {

// (A template, although there is but one T, so that programs which only include it do not pay for
// the compilation of what they do not use.)
template <std::same_as<float> T>
struct BasicReference {
    using Tensor = BasicArray<T>;

    class Parameter {
    public:
        Parameter(Shape shape, ParameterKind kind) : shape_(std::move(shape)), kind_(kind) {}
        const Shape& shape() const { return shape_; }
        ParameterKind kind() const { return kind_; }
        Tensor values;

    private:
        Shape shape_;
        ParameterKind kind_;
    };

    static Tensor from_array(const Array& array) { return array; }
    static Array to_array(const Tensor& x) { return x; }
    static Shape shape(const Tensor& x) { return shape_of(x); }

    static void load(Parameter& parameter, const Array& values) {
        check_parameter_shape(parameter.shape(), shape_of(values));
        parameter.values = values;
    }
    static Array store(const Parameter& parameter) { return parameter.values; }
    static Tensor value(const Parameter& parameter) { return parameter.values; }

    // y = activation(x·wᵀ + b + added)
    static Tensor linear(const Tensor& x, const Parameter& weight, const Parameter* bias,
                         const Tensor* added = nullptr, Activation activation = Activation::none) {
        StopScope::check();
        const std::int64_t out = weight.shape()[0], in = weight.shape()[1];
        check_last_axis("linear", shape(x), in);
        Shape result_shape = shape(x);
        result_shape.back() = out;
        Tensor y = make_array(result_shape);
        matrix(y, out).noalias() = matrix(x, in) * matrix(weight.values, in).transpose();
        if (bias) y += bias->values;
        return plus<BasicReference>(y, added, activation);
    }

    // y(h, w, o) = b(o) + Σ w(o, i, kh, kw) · x(stride·h + kh − padding, stride·w + kw − padding,
    // i)
    static Tensor conv2d(const Tensor& x, const Parameter& weight, const Parameter* bias,
                         const Conv2dOptions& o, const Tensor* added = nullptr) {
        StopScope::check();
        const Shape& w = weight.shape();
        const Shape in = shape(x), out = conv2d_result(in, w, o);
        Tensor y = make_array(out);
        if (bias) y += bias->values;
        for (std::int64_t kh = 0; kh < w[2]; ++kh)
            for (std::int64_t kw = 0; kw < w[3]; ++kw) {
                const Tensor tap =
                    xt::view(weight.values, xt::all(), xt::all(), kh, kw);  // [out, in]
                for (std::int64_t b = 0; b < in[0]; ++b)
                    for (std::int64_t h = 0; h < out[1]; ++h)
                        for (std::int64_t v = 0; v < out[2]; ++v) {
                            const std::int64_t row = h * o.stride + kh - o.padding,
                                               column = v * o.stride + kw - o.padding;
                            if (row < 0 || row >= in[1] || column < 0 || column >= in[2]) continue;
                            vector(&y(b, h, v, 0), w[0]) +=
                                matrix(tap, w[1]) * vector(&x(b, row, column, 0), w[1]);
                        }
            }
        return plus<BasicReference>(y, added);
    }

    static Tensor group_norm(const Tensor& x, const Parameter& scale, const Parameter& shift,
                             const Tensor* modulation, const GroupNormOptions& o) {
        const std::int64_t channels = scale.shape()[0], batch = shape(x)[0];
        check_groups(shape(x), channels, o.groups);
        const std::int64_t pixels = static_cast<std::int64_t>(x.size()) / (batch * channels);
        Tensor grouped = reshaped(x, {batch, pixels, o.groups, channels / o.groups});
        const Tensor mean = xt::mean(grouped, {1, 3}, xt::keep_dims);
        const Tensor variance = xt::mean(xt::square(grouped - mean), {1, 3}, xt::keep_dims);
        const Tensor normalised =
            (grouped - mean) / xt::sqrt(variance + static_cast<float>(o.epsilon));
        Tensor y = reshaped(normalised, {batch, pixels, channels}) * scale.values + shift.values;
        if (modulation) {
            check_modulation(shape(x), shape(*modulation));
            const Tensor m = reshaped(*modulation, {batch, 1, 2 * channels});
            y = y * (1.0f + xt::view(m, xt::all(), xt::all(), xt::range(0, channels))) +
                xt::view(m, xt::all(), xt::all(), xt::range(channels, 2 * channels));
        }
        return activate(reshaped(y, shape(x)), o.activation);
    }

    static Tensor layer_norm(const Tensor& x, const Parameter& scale, const Parameter& shift,
                             double epsilon) {
        check_last_axis("layer_norm", shape(x), scale.shape()[0]);
        const std::size_t last = x.dimension() - 1;
        const Tensor mean = xt::mean(x, {last}, xt::keep_dims);
        const Tensor variance = xt::mean(xt::square(x - mean), {last}, xt::keep_dims);
        return (x - mean) / xt::sqrt(variance + static_cast<float>(epsilon)) * scale.values +
               shift.values;
    }

    // softmax(q·kᵀ/√d + mask)·v, head by head
    static Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                            const AttentionOptions& o) {
        StopScope::check();
        const Shape s = check_attention(shape(q), shape(k), shape(v), o);
        const std::int64_t batch = s[0], queries = s[1], width = s[2], keys = shape(k)[1],
                           d = width / o.heads;
        Tensor y = make_array(s);
        for (std::int64_t b = 0; b < batch; ++b)
            for (std::int64_t head = 0; head < o.heads; ++head) {
                const auto qh = matrix(&q(b, 0, 0), queries, width).middleCols(head * d, d);
                const auto kh = matrix(&k(b, 0, 0), keys, width).middleCols(head * d, d);
                const auto vh = matrix(&v(b, 0, 0), keys, width).middleCols(head * d, d);
                Matrix scores = qh * kh.transpose() / std::sqrt(static_cast<float>(d));
                if (o.mask) scores += mask_of(*o.mask, b, queries, keys);
                Matrix weights = (scores.colwise() - scores.rowwise().maxCoeff()).array().exp();
                weights.array().colwise() /= weights.rowwise().sum().array();
                matrix(&y(b, 0, 0), queries, width).middleCols(head * d, d) = weights * vh;
            }
        return y;
    }

    static Tensor activate(const Tensor& x, Activation activation) {
        switch (activation) {
            case Activation::none: return x;
            case Activation::silu: return x / (1.0f + xt::exp(-x));
            case Activation::gelu:
                return 0.5f * x * (1.0f + xt::erf(x / std::numbers::sqrt2_v<float>));
            case Activation::quick_gelu: return x / (1.0f + xt::exp(-1.702f * x));
        }
        return x;
    }

    static Tensor add(const Tensor& x, const Tensor& y) {
        check_suffix("add", shape(x), shape(y));
        return x + y;
    }
    static Tensor add_per_channel(const Tensor& x, const Tensor& y) {
        check_per_channel(shape(x), shape(y));
        Shape spread(x.dimension(), 1);
        spread.front() = shape(y)[0];
        spread.back() = shape(y)[1];
        return x + reshaped(y, spread);
    }
    static Tensor scale(const Tensor& x, double factor) { return x * static_cast<float>(factor); }

    static Tensor concatenate(const std::vector<Tensor>& parts, std::int64_t axis) {
        std::vector<Shape> shapes;
        for (const Tensor& part : parts) shapes.push_back(shape(part));
        const ConcatenationPlan plan(shapes, axis);
        Tensor y = make_array(plan.result);
        T* out = y.data();
        for (std::int64_t outer = 0; outer < plan.outer; ++outer)
            for (std::size_t i = 0; i < parts.size(); ++i)
                out = std::copy_n(parts[i].data() + outer * plan.run_lengths[i],
                                  plan.run_lengths[i], out);
        return y;
    }
    static Tensor slice(const Tensor& x, std::int64_t axis, std::int64_t begin, std::int64_t end) {
        const SlicePlan plan(shape(x), axis, begin, end);
        Tensor y = make_array(plan.result);
        for (std::int64_t outer = 0; outer < plan.outer; ++outer)
            std::copy_n(x.data() + outer * plan.stride + plan.offset, plan.length,
                        y.data() + outer * plan.length);
        return y;
    }
    static Tensor reshape(const Tensor& x, const Shape& new_shape) {
        return reshaped(x, new_shape);
    }
    static Tensor transpose(const Tensor& x) {
        std::vector<std::size_t> order(x.dimension());
        for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
        std::swap(order[order.size() - 1], order[order.size() - 2]);
        return xt::transpose(x, order);
    }
    static Tensor repeat(const Tensor& x, std::int64_t times) {
        return concatenate(std::vector<Tensor>(static_cast<std::size_t>(times), x), 0);
    }

    static Tensor average_pool2(const Tensor& x) {
        const Shape s = check_picture("average_pool2", shape(x), shape(x).back());
        Tensor y = make_array({s[0], s[1] / 2, s[2] / 2, s[3]});
        for (std::int64_t dh = 0; dh < 2; ++dh)
            for (std::int64_t dw = 0; dw < 2; ++dw)
                y += 0.25f * xt::view(x, xt::all(), xt::range(dh, s[1] / 2 * 2, 2),
                                      xt::range(dw, s[2] / 2 * 2, 2), xt::all());
        return y;
    }
    static Tensor upsample_nearest2(const Tensor& x) {
        const Shape s = check_picture("upsample_nearest2", shape(x), shape(x).back());
        Tensor y = make_array({s[0], 2 * s[1], 2 * s[2], s[3]});
        for (std::int64_t dh = 0; dh < 2; ++dh)
            for (std::int64_t dw = 0; dw < 2; ++dw)
                xt::view(y, xt::all(), xt::range(dh, 2 * s[1], 2), xt::range(dw, 2 * s[2], 2),
                         xt::all()) = x;
        return y;
    }

    static Tensor embedding(const Parameter& table, std::span<const std::int32_t> ids) {
        const std::int64_t width = table.shape()[1];
        Tensor y = make_array({static_cast<std::int64_t>(ids.size()), width});
        for (std::size_t i = 0; i < ids.size(); ++i)
            xt::view(y, i) = xt::view(table.values, check_id(ids[i], table.shape()[0]));
        return y;
    }
    static Tensor select_tokens(const Tensor& x, std::span<const std::int32_t> positions) {
        const Shape s = check_selection(shape(x), positions);
        Tensor y = make_array({s[0], s[2]});
        for (std::int64_t b = 0; b < s[0]; ++b)
            xt::view(y, b) = xt::view(x, b, positions[static_cast<std::size_t>(b)]);
        return y;
    }

private:
    using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    using MatrixMap = Eigen::Map<Matrix>;
    using ConstMatrixMap = Eigen::Map<const Matrix>;
    using Vector = Eigen::Vector<T, Eigen::Dynamic>;
    using VectorMap = Eigen::Map<Vector>;
    using ConstVectorMap = Eigen::Map<const Vector>;

    static ConstMatrixMap matrix(const T* data, std::int64_t rows, std::int64_t columns) {
        return ConstMatrixMap(data, rows, columns);
    }
    static MatrixMap matrix(T* data, std::int64_t rows, std::int64_t columns) {
        return MatrixMap(data, rows, columns);
    }
    static ConstMatrixMap matrix(const Tensor& x, std::int64_t columns) {
        return matrix(x.data(), static_cast<std::int64_t>(x.size()) / columns, columns);
    }
    static MatrixMap matrix(Tensor& x, std::int64_t columns) {
        return matrix(x.data(), static_cast<std::int64_t>(x.size()) / columns, columns);
    }
    static ConstVectorMap vector(const T* data, std::int64_t n) { return ConstVectorMap(data, n); }
    static VectorMap vector(T* data, std::int64_t n) { return VectorMap(data, n); }

    static Matrix mask_of(const Array& mask, std::int64_t batch, std::int64_t queries,
                          std::int64_t keys) {
        const Shape s = shape_of(mask);
        const std::int64_t b = s[0] == 1 ? 0 : batch;
        return Matrix::NullaryExpr(queries, keys, [&, b](Eigen::Index query, Eigen::Index key) {
            return mask(b, s[1] == 1 ? 0 : query, key);
        });
    }
};

using Reference = BasicReference<float>;

static_assert(Engine<Reference>);

}  // namespace dalle2
