// The training engine: computes forward as Cpu<T> does, and writes down for each operation how the
// gradient of its result becomes the gradients of its inputs and parameters. The gradients of
// parameters are sums kept in Accumulator<T>.
#pragma once

#include <optional>

#include <dalle2/engine/autodiff_tape.hpp>
#include <dalle2/engine/plus.hpp>

namespace dalle2 {

template <class T>
struct Autodiff {
    using Scalar = T;
    using Base = Cpu<T>;
    using Value = CpuTensor<T>;
    using Tensor = TapeTensor<T>;
    using Parameter = TrainedParameter<T>;

    static Tensor from_array(const Array& array) { return {Base::from_array(array), nullptr}; }
    static Array to_array(const Tensor& x) { return Base::to_array(x.value); }
    static const Shape& shape(const Tensor& x) { return x.value.shape(); }
    // A value that came from elsewhere; no gradient flows into it.
    static Tensor constant(Value value) { return {std::move(value), nullptr}; }
    // A value whose gradient is wanted: calls receive(gradient) in the backward pass.
    static Tensor leaf(Value value, std::function<void(const Value&)> receive) {
        return {std::move(value), std::make_shared<TapeNode<T>>(std::move(receive))};
    }

    static void load(Parameter& parameter, const Array& values) {
        check_parameter_shape(parameter.shape(), shape_of(values));
        parameter.assign({values.begin(), values.end()});
    }
    static Array store(const Parameter& parameter) {
        Array array = make_array(parameter.shape());
        std::transform(parameter.values().begin(), parameter.values().end(), array.begin(),
                       [](auto value) { return static_cast<float>(value); });
        return array;
    }
    static Tensor value(const Parameter& p) {
        return {Base::value(p.kept()), std::make_shared<TapeNode<T>>([p](const Value& dy) {
                    auto& gradient = p.gradient();
                    for (std::size_t i = 0; i < gradient.size(); ++i)
                        gradient[i] += static_cast<Accumulator<T>>(dy.data()[i]);
                })};
    }

    // Passes gradients from the results back to every parameter that they depend on.
    static void backward(const std::vector<std::pair<Tensor, Value>>& results_and_gradients) {
        TapeFrontier<T> frontier;
        TapeFrontier<T>* const previous = std::exchange(TapeFrontier<T>::current(), &frontier);
        for (const auto& [result, gradient] : results_and_gradients)
            frontier.add(result.node, gradient);
        frontier.run();
        TapeFrontier<T>::current() = previous;
    }

    static Tensor linear(const Tensor& x, const Parameter& weight, const Parameter* bias,
                         const Tensor* added = nullptr, Activation activation = Activation::none) {
        if (added || activation != Activation::none)
            return plus<Autodiff>(linear(x, weight, bias), added, activation);
        Value y = Base::linear(x.value, weight.packed(), kept(bias));
        return record(std::move(y), [x, weight, bias = copied(bias)](const Value& dy) {
            const std::int64_t out = weight.shape()[0], in = weight.shape()[1];
            const auto dw = weight.gradient_sum();
            kernels::linear_weight_gradient(dy.rows(), in, out, x.value.data(), dy.data(), dw.data,
                                            gradient_of(bias), dw.add);
            if (!x.node) return;
            Value dx(x.value.shape());
            kernels::linear(dy.rows(), dy.data(), weight.transposed(), nullptr, dx.data());
            give(x, dx);
        });
    }

    static Tensor conv2d(const Tensor& x, const Parameter& weight, const Parameter* bias,
                         const Conv2dOptions& o, const Tensor* added = nullptr) {
        if (added) return plus<Autodiff>(conv2d(x, weight, bias, o), added);
        Value y = Base::conv2d(x.value, weight.packed(), kept(bias), o);
        return record(std::move(y), [x, weight, bias = copied(bias), o](const Value& dy) {
            const kernels::Conv2dShape shape =
                Base::conv2d_shape(x.value.shape(), weight.shape(), o);
            const auto dw = weight.gradient_sum();
            kernels::conv2d_weight_gradient(shape, x.value.data(), dy.data(), dw.data,
                                            gradient_of(bias), dw.add);
            if (!x.node) return;
            Value dx(x.value.shape());
            kernels::conv2d_input_gradient(shape, dy.data(), weight.transposed(), dx.data());
            give(x, dx);
        });
    }

    static Tensor group_norm(const Tensor& x, const Parameter& scale, const Parameter& shift,
                             const Tensor* modulation, const GroupNormOptions& o) {
        const kernels::GroupNormShape shape = Base::group_norm_shape(
            x.value, scale.kept(), modulation ? &modulation->value : nullptr, o);
        const Statistics statistics(shape.batch * shape.groups);
        Value y(x.value.shape());
        const Tensor m = modulation ? *modulation : Tensor{};
        kernels::group_norm(shape, x.value.data(), scale.kept().vector(), shift.kept().vector(),
                            m.value.data(), y.data(), statistics.mean(),
                            statistics.inverse_deviation(), x.value.moments());
        return record(std::move(y), [shape, x, scale, shift, m, statistics](const Value& dy) {
            Value dx(x.value.shape()), dm = m.value.empty() ? Value{} : Value(m.value.shape());
            kernels::group_norm_backward(
                shape, x.value.data(), scale.kept().vector(), shift.kept().vector(), m.value.data(),
                statistics.mean(), statistics.inverse_deviation(), dy.data(), dx.data(),
                scale.gradient().data(), shift.gradient().data(), dm.data());
            give(x, dx);
            give(m, dm);
        });
    }

    static Tensor layer_norm(const Tensor& x, const Parameter& scale, const Parameter& shift,
                             double epsilon) {
        check_last_axis("layer_norm", shape(x), scale.shape()[0]);
        const std::int64_t rows = x.value.rows(), width = x.value.channels();
        const Statistics statistics(rows);
        Value y(x.value.shape());
        kernels::layer_norm(rows, width, epsilon, x.value.data(), scale.kept().vector(),
                            shift.kept().vector(), y.data(), statistics.mean(),
                            statistics.inverse_deviation());
        return record(std::move(y), [rows, width, x, scale, shift, statistics](const Value& dy) {
            Value dx(x.value.shape());
            kernels::layer_norm_backward(rows, width, x.value.data(), scale.kept().vector(),
                                         statistics.mean(), statistics.inverse_deviation(),
                                         dy.data(), dx.data(), scale.gradient().data(),
                                         shift.gradient().data());
            give(x, dx);
        });
    }

    static Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                            const AttentionOptions& o) {
        const kernels::AttentionShape shape = Base::attention_shape(q.value, k.value, v.value, o);
        const auto mask = o.mask ? std::make_shared<const Array>(*o.mask) : nullptr;
        const auto log_sum_exp =
            BufferPool::allocate_array<Accumulator<T>>(shape.batch * shape.heads * shape.queries);
        Value y(q.value.shape());
        kernels::attention(shape, q.value.data(), k.value.data(), v.value.data(),
                           Base::attention_mask(mask.get()), y.data(), log_sum_exp.get());
        return record(y, [shape, q, k, v, mask, y, log_sum_exp](const Value& dy) {
            Value dq(q.value.shape()), dk(k.value.shape()), dv(v.value.shape());
            kernels::attention_backward(shape, q.value.data(), k.value.data(), v.value.data(),
                                        Base::attention_mask(mask.get()), y.data(),
                                        log_sum_exp.get(), dy.data(), dq.data(), dk.data(),
                                        dv.data());
            give(q, dq);
            give(k, dk);
            give(v, dv);
        });
    }

    static Tensor activate(const Tensor& x, Activation activation) {
        return record(Base::activate(x.value, activation), [x, activation](const Value& dy) {
            Value dx(dy.shape());
            kernels::activate_backward(activation, dy.count(), x.value.data(), dy.data(),
                                       dx.data());
            give(x, dx);
        });
    }

    static Tensor add(const Tensor& x, const Tensor& y) {
        return record(Base::add(x.value, y.value),
                      [to_x = x.node, to_y = y.node, shape = y.value.shape()](const Value& dz) {
                          give(to_x, dz);
                          if (!to_y) return;
                          const std::int64_t count = element_count(shape);
                          if (count == dz.count()) return give(to_y, dz.reshaped(shape));
                          Value dy(shape);
                          kernels::sum_repeated(dz.count() / count, count, dz.data(), dy.data());
                          give(to_y, dy);
                      });
    }
    static Tensor add_per_channel(const Tensor& x, const Tensor& y) {
        return record(Base::add_per_channel(x.value, y.value),
                      [to_x = x.node, to_y = y.node](const Value& dz) {
                          give(to_x, dz);
                          Value dy({dz.extent(0), dz.channels()});
                          kernels::sum_per_channel(dz.extent(0), dz.pixels(), dz.channels(),
                                                   dz.data(), dy.data());
                          give(to_y, dy);
                      });
    }
    static Tensor scale(const Tensor& x, double factor) {
        return record(Base::scale(x.value, factor), [to_x = x.node, factor](const Value& dy) {
            give(to_x, Base::scale(dy, factor));
        });
    }

    static Tensor concatenate(const std::vector<Tensor>& parts, std::int64_t axis) {
        std::vector<Value> values;
        std::vector<std::pair<std::shared_ptr<TapeNode<T>>, std::int64_t>> extents;
        for (const Tensor& part : parts) {
            values.push_back(part.value);
            const Shape& s = part.value.shape();
            extents.emplace_back(
                part.node, s[static_cast<std::size_t>(
                               axis < 0 ? axis + static_cast<std::int64_t>(s.size()) : axis)]);
        }
        return record(Base::concatenate(values, axis), [extents, axis](const Value& dy) {
            std::int64_t begin = 0;
            for (const auto& [node, extent] : extents) {
                if (node) give(node, Base::slice(dy, axis, begin, begin + extent));
                begin += extent;
            }
        });
    }
    static Tensor slice(const Tensor& x, std::int64_t axis, std::int64_t begin, std::int64_t end) {
        return record(Base::slice(x.value, axis, begin, end),
                      [to_x = x.node, shape = x.value.shape(), axis, begin, end](const Value& dy) {
                          const SlicePlan plan(shape, axis, begin, end);
                          Value dx = zeros(shape);
                          kernels::copy_runs(plan.outer, plan.length, dy.data(), plan.length,
                                             dx.data() + plan.offset, plan.stride);
                          give(to_x, dx);
                      });
    }
    static Tensor reshape(const Tensor& x, const Shape& new_shape) {
        return record(x.value.reshaped(new_shape),
                      [to_x = x.node, shape = x.value.shape()](const Value& dy) {
                          give(to_x, dy.reshaped(shape));
                      });
    }
    static Tensor transpose(const Tensor& x) {
        return record(Base::transpose(x.value),
                      [to_x = x.node](const Value& dy) { give(to_x, Base::transpose(dy)); });
    }
    static Tensor repeat(const Tensor& x, std::int64_t times) {
        return record(Base::repeat(x.value, times),
                      [to_x = x.node, shape = x.value.shape(), times](const Value& dy) {
                          Value dx(shape);
                          kernels::sum_repeated(times, dx.count(), dy.data(), dx.data());
                          give(to_x, dx);
                      });
    }

    static Tensor average_pool2(const Tensor& x) {
        return record(
            Base::average_pool2(x.value), [to_x = x.node, s = x.value.shape()](const Value& dy) {
                Value dx(s);
                kernels::average_pool2_backward(s[0], s[1], s[2], s[3], dy.data(), dx.data());
                give(to_x, dx);
            });
    }
    static Tensor upsample_nearest2(const Tensor& x) {
        return record(Base::upsample_nearest2(x.value), [to_x = x.node,
                                                         s = x.value.shape()](const Value& dy) {
            Value dx(s);
            kernels::upsample_nearest2_backward(s[0], s[1], s[2], s[3], dy.data(), dx.data());
            give(to_x, dx);
        });
    }

    static Tensor embedding(const Parameter& table, std::span<const std::int32_t> ids) {
        return record(
            Base::embedding(table.kept(), ids),
            [table, rows = std::vector<std::int32_t>(ids.begin(), ids.end())](const Value& dy) {
                const std::int64_t width = table.shape()[1];
                auto& gradient = table.gradient();
                for (std::size_t i = 0; i < rows.size(); ++i)
                    for (std::int64_t j = 0; j < width; ++j)
                        gradient[static_cast<std::size_t>(rows[i] * width + j)] +=
                            static_cast<Accumulator<T>>(
                                dy.data()[static_cast<std::int64_t>(i) * width + j]);
            });
    }
    static Tensor select_tokens(const Tensor& x, std::span<const std::int32_t> positions) {
        return record(
            Base::select_tokens(x.value, positions),
            [to_x = x.node, s = x.value.shape(),
             chosen =
                 std::vector<std::int32_t>(positions.begin(), positions.end())](const Value& dy) {
                Value dx = zeros(s);
                for (std::int64_t b = 0; b < s[0]; ++b)
                    std::copy_n(
                        dy.data() + b * s[2], s[2],
                        dx.data() + (b * s[1] + chosen[static_cast<std::size_t>(b)]) * s[2]);
                give(to_x, dx);
            });
    }

private:
    using Node = std::shared_ptr<TapeNode<T>>;

    // What a norm found in the forward pass and needs again in the backward pass.
    class Statistics {
    public:
        explicit Statistics(std::int64_t count)
            : values_(BufferPool::allocate_array<Accumulator<T>>(2 * count)), count_(count) {}
        Accumulator<T>* mean() const { return values_.get(); }
        Accumulator<T>* inverse_deviation() const { return values_.get() + count_; }

    private:
        std::shared_ptr<Accumulator<T>> values_;
        std::int64_t count_;
    };

    template <class Backward>
    static Tensor record(Value y, Backward backward) {
        return {std::move(y), std::make_shared<TapeNode<T>>(std::move(backward))};
    }
    static void give(const Node& node, const Value& gradient) {
        if (node) TapeFrontier<T>::current()->add(node, gradient);
    }
    static void give(const Tensor& x, const Value& gradient) { give(x.node, gradient); }

    static const CpuParameter<T>* kept(const Parameter* p) { return p ? &p->kept() : nullptr; }
    static std::optional<Parameter> copied(const Parameter* p) {
        return p ? std::optional(*p) : std::nullopt;
    }
    static Accumulator<T>* gradient_of(const std::optional<Parameter>& p) {
        return p ? p->gradient().data() : nullptr;
    }

    static Value zeros(const Shape& shape) {
        Value x(shape);
        std::fill_n(x.data(), x.count(), T(0));
        return x;
    }
};

static_assert(Engine<Autodiff<float>> && Engine<Autodiff<bfloat16>>);

}  // namespace dalle2
