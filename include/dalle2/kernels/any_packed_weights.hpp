// Packed weights of any type, as a file may hold them.
#pragma once

#include <variant>

#include <dalle2/core/bfloat16.hpp>
#include <dalle2/kernels/int8_weights.hpp>
#include <dalle2/kernels/packed_weights.hpp>

namespace dalle2::kernels {

using AnyPackedWeights = std::variant<PackedWeights<float>, PackedWeights<bfloat16>, Int8Weights>;

}  // namespace dalle2::kernels
