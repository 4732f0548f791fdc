// The optimiser's step over arrays, and the norm of a gradient.
#pragma once

#include <cmath>
#include <type_traits>

#include <dalle2/kernels/adamw_step.hpp>
#include <dalle2/kernels/simd.hpp>

namespace dalle2::kernels {

// Elements that one task takes.
inline constexpr int64 adamw_block = 16384;

namespace plain {

template <class A>
double sum_of_squares(int64 n, const A* x) {
    double sum = 0;
    for (int64 i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return sum;
}

template <class A>
void adamw(const AdamwStep<A>& s, int64 n, const A* gradient, const AdamwState<A>& to) {
    for (int64 i = 0; i < n; ++i) {
        const A g = gradient[i] * s.gradient_scale;
        A &m = to.first_moment[i], &v = to.second_moment[i], &value = to.value[i];
        m = s.beta1 * m + (1 - s.beta1) * g;
        v = s.beta2 * v + (1 - s.beta2) * g * g;
        value = s.decay_factor * value -
                s.learning_rate * (m * s.correction1) / (std::sqrt(v * s.correction2) + s.epsilon);
        to.average[i] = s.average_decay * to.average[i] + (1 - s.average_decay) * value;
    }
}

}  // namespace plain

// Σ x² of a block, at most adamw_block elements.
template <class A>
double sum_of_squares(int64 n, const A* x) {
    if constexpr (std::is_same_v<A, double>)
        return plain::sum_of_squares(n, x);
    else
        return vector_gradients<A>().sum_of_squares(n, x);
}

// One step over a block of n elements, from their gradient.
template <class A>
void adamw(const AdamwStep<A>& step, int64 n, const A* gradient, const AdamwState<A>& to) {
    if constexpr (std::is_same_v<A, double>)
        plain::adamw(step, n, gradient, to);
    else
        vector_gradients<A>().adamw(step, n, gradient, to);
}

}  // namespace dalle2::kernels
