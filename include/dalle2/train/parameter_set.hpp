// The parameters of a training run with what the optimiser keeps for each: the two moments of its
// gradient and its moving average.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include <dalle2/engine/autodiff.hpp>
#include <dalle2/kernels/adamw.hpp>
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
    // clipping. A norm that is not finite changes nothing (nor does one beyond 1e19, whose square a
    // float cannot hold). Clears the gradients.
    double optimize(std::int64_t step, double learning_rate, const OptimizerOptions& o) {
        const std::vector<Piece> pieces = pieces_with_gradients();
        const std::int64_t count = static_cast<std::int64_t>(pieces.size());
        std::vector<double> squares(pieces.size());
        kernels::parallel_for(count, [&](std::int64_t i, int) {
            const Piece& piece = pieces[static_cast<std::size_t>(i)];
            squares[static_cast<std::size_t>(i)] = kernels::sum_of_squares(
                piece.count, piece.entry->parameter.gradient().data() + piece.begin);
        });
        const double norm = std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
        if (std::isfinite(norm)) {
            const double clip =
                norm > o.largest_gradient_norm ? o.largest_gradient_norm / norm : 1.0;
            const auto decayed = adamw_step(step, learning_rate, o.weight_decay, clip, o),
                       kept = adamw_step(step, learning_rate, 0, clip, o);
            kernels::parallel_for(count, [&](std::int64_t i, int) {
                const Piece& piece = pieces[static_cast<std::size_t>(i)];
                const bool decays = piece.entry->parameter.kind() != ParameterKind::vector;
                update(piece, decays ? decayed : kept);
            });
            for (Entry& entry : entries_)
                if (entry.parameter.has_gradient()) entry.parameter.changed();
        }
        clear_gradients();
        return norm;
    }

private:
    // What one task takes: some elements of a parameter.
    struct Piece {
        Entry* entry;
        std::int64_t begin, count;
    };
    std::vector<Piece> pieces_with_gradients() {
        std::vector<Piece> pieces;
        for (Entry& entry : entries_) {
            if (!entry.parameter.has_gradient()) continue;
            const auto size = static_cast<std::int64_t>(entry.parameter.values().size());
            for (std::int64_t begin = 0; begin < size; begin += kernels::adamw_block)
                pieces.push_back({&entry, begin, std::min(kernels::adamw_block, size - begin)});
        }
        return pieces;
    }

    using Real = Accumulator<T>;
    static kernels::AdamwStep<Real> adamw_step(std::int64_t step, double learning_rate,
                                               double weight_decay, double gradient_scale,
                                               const OptimizerOptions& o) {
        const double steps = static_cast<double>(step);
        return {.learning_rate = static_cast<Real>(learning_rate),
                .decay_factor = static_cast<Real>(1 - learning_rate * weight_decay),
                .beta1 = static_cast<Real>(o.beta1),
                .beta2 = static_cast<Real>(o.beta2),
                .correction1 = static_cast<Real>(1 / (1 - std::pow(o.beta1, steps))),
                .correction2 = static_cast<Real>(1 / (1 - std::pow(o.beta2, steps))),
                .epsilon = static_cast<Real>(o.epsilon),
                .gradient_scale = static_cast<Real>(gradient_scale),
                // A young average follows quickly, so that it forgets where training began.
                .average_decay =
                    static_cast<Real>(std::min(o.average_decay, (1 + steps) / (10 + steps)))};
    }
    static void update(const Piece& piece, const kernels::AdamwStep<Real>& step) {
        Entry& entry = *piece.entry;
        kernels::adamw<Real>(step, piece.count, entry.parameter.gradient().data() + piece.begin,
                             {.value = entry.parameter.mutable_values().data() + piece.begin,
                              .first_moment = entry.first_moment.data() + piece.begin,
                              .second_moment = entry.second_moment.data() + piece.begin,
                              .average = entry.average.data() + piece.begin});
    }

    std::vector<Entry> entries_;
};

}  // namespace dalle2
