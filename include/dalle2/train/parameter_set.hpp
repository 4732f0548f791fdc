// The parameters of a training run with what the optimiser keeps for each: the two moments of its
// gradient and its moving average.
#pragma once

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <dalle2/engine/autodiff.hpp>
#include <dalle2/nn/visit.hpp>

namespace dalle2 {

// AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019), and an exponential moving
// average of the weights.
struct OptimizerOptions {
    double beta1 = 0.9, beta2 = 0.99, epsilon = 1e-8;
    double weight_decay = 0.01;        // not on norms, biases and other vectors
    double largest_gradient_norm = 1;  // longer gradients are shortened to it
    double average_decay = 0.999;
};

template <class T>
class ParameterSet {
public:
    using Parameter = TrainedParameter<T>;
    using Values = typename Parameter::Values;

    struct Entry {
        std::string name;
        Parameter parameter;
        Values first_moment, second_moment, average;
    };

    // Adds the parameters of a module; `trained(name)` may leave some as they are.
    template <class Module>
    void add(Module& module, const std::string& prefix = "",
             const std::function<bool(const std::string&)>& trained = nullptr) {
        for_each_parameter(
            module,
            [&](const std::string& name, Parameter& parameter) {
                if (trained && !trained(name)) return;
                const std::size_t count = parameter.values().size();
                entries_.push_back(
                    {name, parameter, Values(count), Values(count), parameter.values()});
            },
            prefix);
    }

    std::vector<Entry>& entries() { return entries_; }
    const std::vector<Entry>& entries() const { return entries_; }

    // After values were loaded from elsewhere: the averages begin with them.
    void restart_averages() {
        for (Entry& entry : entries_) entry.average = entry.parameter.values();
    }

    void clear_gradients() {
        for (Entry& entry : entries_) entry.parameter.clear_gradient();
    }

    // One step with the gradients collected, `step` counted from 1; returns their norm before
    // clipping. A norm that is not finite changes nothing. Clears the gradients.
    double optimize(std::int64_t step, double learning_rate, const OptimizerOptions& o) {
        std::vector<double> squares(entries_.size());
        kernels::parallel_for(count(), [&](std::int64_t i, int) {
            double sum = 0;
            if (at(i).parameter.has_gradient())
                for (const auto g : at(i).parameter.gradient())
                    sum += static_cast<double>(g) * static_cast<double>(g);
            squares[static_cast<std::size_t>(i)] = sum;
        });
        double norm = 0;
        for (const double square : squares) norm += square;
        norm = std::sqrt(norm);
        if (std::isfinite(norm)) {
            const double clip =
                norm > o.largest_gradient_norm ? o.largest_gradient_norm / norm : 1.0;
            kernels::parallel_for(
                count(), [&](std::int64_t i, int) { update(at(i), step, learning_rate, clip, o); });
        }
        clear_gradients();
        return norm;
    }

private:
    std::int64_t count() const { return static_cast<std::int64_t>(entries_.size()); }
    Entry& at(std::int64_t i) { return entries_[static_cast<std::size_t>(i)]; }

    static void update(Entry& entry, std::int64_t step, double learning_rate, double clip,
                       const OptimizerOptions& o) {
        using A = Accumulator<T>;
        if (!entry.parameter.has_gradient()) return;
        Values& values = entry.parameter.mutable_values();
        const Values& gradient = entry.parameter.gradient();
        const double steps = static_cast<double>(step);
        const A correction1 = static_cast<A>(1 / (1 - std::pow(o.beta1, steps)));
        const A correction2 = static_cast<A>(1 / (1 - std::pow(o.beta2, steps)));
        const bool decays = entry.parameter.kind() != ParameterKind::vector;
        const A keep = static_cast<A>(decays ? 1 - learning_rate * o.weight_decay : 1.0);
        // A young average follows quickly, so that it forgets where training began.
        const A average_decay =
            static_cast<A>(std::min(o.average_decay, (1 + steps) / (10 + steps)));
        const A beta1 = static_cast<A>(o.beta1), beta2 = static_cast<A>(o.beta2),
                epsilon = static_cast<A>(o.epsilon);
        const A rate = static_cast<A>(learning_rate), shorten = static_cast<A>(clip);
        A *const value = values.data(), *const m = entry.first_moment.data(),
                 *const v = entry.second_moment.data(), *const average = entry.average.data();
        const A* const g = gradient.data();
        const std::int64_t n = static_cast<std::int64_t>(values.size());
#pragma omp simd
        for (std::int64_t i = 0; i < n; ++i) {
            const A d = g[i] * shorten;
            m[i] = beta1 * m[i] + (1 - beta1) * d;
            v[i] = beta2 * v[i] + (1 - beta2) * d * d;
            value[i] = keep * value[i] -
                       rate * (m[i] * correction1) / (std::sqrt(v[i] * correction2) + epsilon);
            average[i] = average_decay * average[i] + (1 - average_decay) * value[i];
        }
        entry.parameter.changed();
    }

    std::vector<Entry> entries_;
};

}  // namespace dalle2
