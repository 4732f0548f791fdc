// The tape of the training engine: which operation made a tensor, and how gradients flow back
// through it.
#pragma once

#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <dalle2/engine/cpu.hpp>

namespace dalle2 {

// Collects the gradient of one tensor and passes it on. It does not hold the tensor's value:
// operations keep alive only what their own gradient needs.
template <class T>
class TapeNode {
public:
    using Backward = std::function<void(const CpuTensor<T>& gradient)>;

    explicit TapeNode(Backward backward) : backward_(std::move(backward)), order_(next_order()) {}

    void accumulate(const CpuTensor<T>& gradient) {
        if (gradient_.empty()) {
            gradient_ = gradient;
        } else {
            CpuTensor<T> sum(gradient.shape());
            kernels::add(sum.count(), gradient_.data(), gradient.data(), sum.data());
            gradient_ = sum;
        }
    }
    // Passes the collected gradient on and lets go of everything that was kept for it.
    void propagate() {
        const Backward backward = std::exchange(backward_, nullptr);
        const CpuTensor<T> gradient = std::exchange(gradient_, {});
        if (backward) backward(gradient);
    }
    // Grows in the order in which operations ran: what a node came from has a smaller number.
    std::uint64_t order() const { return order_; }

private:
    static std::uint64_t next_order() {
        thread_local std::uint64_t order = 0;
        return ++order;
    }

    Backward backward_;
    CpuTensor<T> gradient_;
    std::uint64_t order_;
};

// A value and its place on the tape; no place where nothing needs its gradient.
template <class T>
struct TapeTensor {
    CpuTensor<T> value;
    std::shared_ptr<TapeNode<T>> node;
};

// The nodes whose gradients are still to be passed on, latest operation first.
template <class T>
class TapeFrontier {
public:
    void add(const std::shared_ptr<TapeNode<T>>& node, const CpuTensor<T>& gradient) {
        if (!node) return;
        node->accumulate(gradient);
        waiting_.emplace(node->order(), node);
    }
    void run() {
        while (!waiting_.empty()) {
            const auto last = std::prev(waiting_.end());
            const std::shared_ptr<TapeNode<T>> node = last->second;
            waiting_.erase(last);
            node->propagate();
        }
    }
    // The frontier of the backward pass that runs on this thread.
    static TapeFrontier*& current() {
        thread_local TapeFrontier* frontier = nullptr;
        return frontier;
    }

private:
    std::map<std::uint64_t, std::shared_ptr<TapeNode<T>>> waiting_;
};

// A parameter under training: its values in full precision and the gradient collected since
// clear_gradient(). Vectors, tables and tensors are kept also as the kernels take them; weights are
// packed whenever they are used, in most steps once forward and once backward: kept, each form
// would take as much memory as half of the values, and be read from there as well.
template <class T>
class TrainedParameter {
public:
    using Values = std::vector<Accumulator<T>>;

    TrainedParameter(Shape shape, ParameterKind kind)
        : state_(std::make_shared<State>(std::move(shape), kind)) {}

    const Shape& shape() const { return state_->kept.shape(); }
    ParameterKind kind() const { return state_->kept.kind(); }

    const Values& values() const { return state_->values; }
    void assign(Values values) {
        state_->values = std::move(values);
        changed();
    }
    // In-place changes of values() must be followed by changed().
    Values& mutable_values() { return state_->values; }
    void changed() {
        if (is_weight()) return;
        const BufferPool::Outside outside;  // it stays
        state_->kept.load(state_->values.data());
    }

    // A vector, a table or a tensor.
    const CpuParameter<T>& kept() const { return state_->kept; }
    // A weight, packed for the forward pass, and for the gradient of the layer's input: for as long
    // as the result lives.
    CpuParameter<T> packed() const {
        CpuParameter<T> parameter(shape(), kind());
        parameter.load(loaded_values());
        return parameter;
    }
    kernels::PackedWeights<T> transposed() const {
        const auto layout = kernels::packed_layout<T>(shape());
        return kernels::pack_weights_transposed<T>(loaded_values(), layout.out, layout.in,
                                                   layout.kernel_height, layout.kernel_width);
    }

    // To be added to.
    Values& gradient() const {
        if (!has_gradient()) {
            state_->gradient.assign(state_->values.size(), 0);
            state_->has_gradient = true;
        }
        return state_->gradient;
    }
    // To be filled, or, if `add`, to be added to.
    struct GradientSum {
        Accumulator<T>* data;
        bool add;
    };
    GradientSum gradient_sum() const {
        state_->gradient.resize(state_->values.size());
        return {state_->gradient.data(), std::exchange(state_->has_gradient, true)};
    }
    bool has_gradient() const { return state_->has_gradient; }
    void clear_gradient() const { state_->has_gradient = false; }

private:
    bool is_weight() const {
        return kind() == ParameterKind::matrix || kind() == ParameterKind::convolution;
    }
    const Accumulator<T>* loaded_values() const {
        if (state_->values.empty() || !is_weight()) detail::throw_not_loaded(shape());
        return state_->values.data();
    }

    struct State {
        State(Shape shape, ParameterKind kind) : kept(std::move(shape), kind) {}
        CpuParameter<T> kept;
        Values values, gradient;
        bool has_gradient = false;
    };
    std::shared_ptr<State> state_;
};

}  // namespace dalle2
