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

// A parameter under training: its values in full precision, the packed copies that the kernels use,
// and the gradient collected since clear_gradient().
template <class T>
class TrainedParameter {
public:
    using Values = std::vector<Accumulator<T>>;

    TrainedParameter(Shape shape, ParameterKind kind)
        : state_(std::make_shared<State>(std::move(shape), kind)) {}

    const Shape& shape() const { return state_->packed.shape(); }
    ParameterKind kind() const { return state_->packed.kind(); }

    const Values& values() const { return state_->values; }
    // Replaces the values; the packed copies follow.
    void assign(Values values) {
        state_->values = std::move(values);
        changed();
    }
    // In-place changes of values() must be followed by changed().
    Values& mutable_values() { return state_->values; }
    void changed() {
        state_->packed.load(state_->values.data());
        state_->transposed = {};
    }

    // Empty until something adds to it.
    Values& gradient() const {
        if (state_->gradient.empty())
            state_->gradient.resize(static_cast<std::size_t>(element_count(shape())));
        return state_->gradient;
    }
    bool has_gradient() const { return !state_->gradient.empty(); }
    void clear_gradient() const { state_->gradient.clear(); }

    const CpuParameter<T>& packed() const { return state_->packed; }
    // For the input gradient; packed when first asked for.
    const kernels::PackedWeights<T>& transposed() const {
        if (state_->transposed.empty()) {
            const Shape& s = shape();
            state_->transposed = kernels::pack_weights_transposed<T>(state_->values.data(), s[0],
                                                                     s[1], s.size() == 4 ? s[2] : 1,
                                                                     s.size() == 4 ? s[3] : 1);
        }
        return state_->transposed;
    }

private:
    struct State {
        State(Shape shape, ParameterKind kind) : packed(std::move(shape), kind) {}
        CpuParameter<T> packed;
        kernels::PackedWeights<T> transposed;
        Values values, gradient;
    };
    std::shared_ptr<State> state_;
};

}  // namespace dalle2
