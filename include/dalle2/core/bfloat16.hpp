// The 16-bit float types of weights and activations.
#pragma once

#include <Eigen/Core>

namespace dalle2 {

// The upper half of a float: 8 bits of exponent, 8 of precision.
using bfloat16 = Eigen::bfloat16;
// IEEE half precision: 5 bits of exponent, 11 of precision.
using float16 = Eigen::half;

// What sums of products of T are kept in, and what gradients of parameters are stored in.
template <class T>
struct AccumulatorOf {
    using type = float;
};
template <>
struct AccumulatorOf<double> {
    using type = double;
};
template <class T>
using Accumulator = typename AccumulatorOf<T>::type;

}  // namespace dalle2
