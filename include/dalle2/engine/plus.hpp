// What engines whose products do not add anything do afterwards.
#pragma once

#include <dalle2/engine/shape_checks.hpp>

namespace dalle2 {

// The result of a linear layer or a convolution of engine E, plus what is added to it (see Engine).
template <class E>
typename E::Tensor plus(const typename E::Tensor& result, const typename E::Tensor* added) {
    if (!added) return result;
    check_added("plus", E::shape(result), E::shape(*added));
    return E::shape(result) == E::shape(*added) ? E::add(result, *added)
                                                : E::add_per_channel(result, *added);
}

}  // namespace dalle2
