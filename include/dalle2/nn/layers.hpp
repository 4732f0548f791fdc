// The smallest modules: parameters together with the one operation that uses them.
#pragma once

#include <optional>

#include <dalle2/engine/concept.hpp>

namespace dalle2 {

// x [..., in] → [..., out], to which a tensor of that shape may be added, and then an activation
// applied (see Engine).
template <Engine E>
struct Linear {
    typename E::Parameter weight;
    std::optional<typename E::Parameter> bias;

    Linear(std::int64_t in, std::int64_t out, bool with_bias = true)
        : weight({out, in}, ParameterKind::matrix) {
        if (with_bias) bias.emplace(Shape{out}, ParameterKind::vector);
    }

    typename E::Tensor operator()(const typename E::Tensor& x,
                                  const typename E::Tensor* added = nullptr,
                                  Activation activation = Activation::none) const {
        return E::linear(x, weight, bias ? &*bias : nullptr, added, activation);
    }
    typename E::Tensor operator()(const typename E::Tensor& x, Activation activation) const {
        return (*this)(x, nullptr, activation);
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("weight", self.weight);
        visitor("bias", self.bias);
    }
};

// x [batch, height, width, in] → [batch, height', width', out], to which a tensor of that shape or
// [batch, out] may be added (see Engine).
template <Engine E>
struct Conv2d {
    Conv2dOptions options;
    typename E::Parameter weight;
    std::optional<typename E::Parameter> bias;

    Conv2d(std::int64_t in, std::int64_t out, std::int64_t kernel, Conv2dOptions conv_options,
           bool with_bias = true)
        : options(conv_options), weight({out, in, kernel, kernel}, ParameterKind::convolution) {
        if (with_bias) bias.emplace(Shape{out}, ParameterKind::vector);
    }

    typename E::Tensor operator()(const typename E::Tensor& x,
                                  const typename E::Tensor* added = nullptr) const {
        return E::conv2d(x, weight, bias ? &*bias : nullptr, options, added);
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("weight", self.weight);
        visitor("bias", self.bias);
    }
};

// Over the last axis.
template <Engine E>
struct LayerNorm {
    double epsilon;
    typename E::Parameter weight, bias;

    explicit LayerNorm(std::int64_t width, double eps = 1e-5)
        : epsilon(eps),
          weight({width}, ParameterKind::vector),
          bias({width}, ParameterKind::vector) {}

    typename E::Tensor operator()(const typename E::Tensor& x) const {
        return E::layer_norm(x, weight, bias, epsilon);
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("weight", self.weight);
        visitor("bias", self.bias);
    }
};

// Over groups of channels; the activation that follows it, and the modulation by a condition
// between the two, belong to the same operation.
template <Engine E>
struct GroupNorm {
    GroupNormOptions options;
    typename E::Parameter weight, bias;

    GroupNorm(std::int64_t channels, GroupNormOptions norm_options)
        : options(norm_options),
          weight({channels}, ParameterKind::vector),
          bias({channels}, ParameterKind::vector) {}

    // modulation [batch, 2·channels], scale then shift, may be null.
    typename E::Tensor operator()(const typename E::Tensor& x,
                                  const typename E::Tensor* modulation = nullptr) const {
        return E::group_norm(x, weight, bias, modulation, options);
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("weight", self.weight);
        visitor("bias", self.bias);
    }
};

// ids → their rows of a table, [ids, width].
template <Engine E>
struct Embedding {
    typename E::Parameter weight;

    Embedding(std::int64_t rows, std::int64_t width)
        : weight({rows, width}, ParameterKind::table) {}

    typename E::Tensor operator()(std::span<const std::int32_t> ids) const {
        return E::embedding(weight, ids);
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("weight", self.weight);
    }
};

}  // namespace dalle2
