// What a step of AdamW with a moving average takes: the part that needs no vectors.
#pragma once

namespace dalle2::kernels {

// The numbers of a step, the same for all elements of a parameter. (Kingma & Ba 2015, algorithm 1;
// Loshchilov & Hutter 2019, algorithm 2.)
template <class A>
struct AdamwStep {
    A learning_rate;
    A decay_factor;              // 1 - learning rate · weight decay
    A beta1, beta2;              // of the moments
    A correction1, correction2;  // 1 / (1 - βᵗ)
    A epsilon;
    A gradient_scale;  // so that its norm is not too large
    A average_decay;   // of the values' moving average
};

// Where it finds what it changes.
template <class A>
struct AdamwState {
    A *value, *first_moment, *second_moment, *average;
};

}  // namespace dalle2::kernels
