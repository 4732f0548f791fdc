// What engines whose products do not add anything do afterwards.
#pragma once

#include <dalle2/core/activation.hpp>
#include <dalle2/engine/shape_checks.hpp>

namespace dalle2 {

// Of the result of a linear layer or a convolution of engine E: activation(result + added), the
// latter null where nothing is added (see Engine).
template <class E>
typename E::Tensor plus(const typename E::Tensor& result, const typename E::Tensor* added,
                        Activation activation = Activation::none) {
    const auto activated = [activation](const typename E::Tensor& sum) {
        return activation == Activation::none ? sum : E::activate(sum, activation);
    };
    if (!added) return activated(result);
    check_added("plus", E::shape(result), E::shape(*added));
    return activated(E::shape(result) == E::shape(*added) ? E::add(result, *added)
                                                          : E::add_per_channel(result, *added));
}

}  // namespace dalle2
