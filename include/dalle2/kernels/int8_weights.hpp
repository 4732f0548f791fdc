// Weights of linear layers and convolutions as whole numbers.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include <dalle2/kernels/packed_weights.hpp>

namespace dalle2::kernels {

// The longest sum of products of a byte and a weight that cannot leave 32 bits.
inline constexpr int64 longest_int8_sum = 0x7fffffff / (255 * 127);

// Weights w = scale·q with whole q from -127 to 127 and one scale for each output: packed,
// immutable, and cheap to copy. The scale of an output whose weights are not all finite is NaN.
class Int8Weights {
public:
    Int8Weights() = default;
    // scales and sums [out], padded to whole panels.
    Int8Weights(PackedWeights<std::int8_t> packed, AlignedBuffer<float> scales,
                AlignedBuffer<std::int32_t> sums)
        : packed_(std::move(packed)),
          scales_(std::make_shared<const AlignedBuffer<float>>(std::move(scales))),
          sums_(std::make_shared<const AlignedBuffer<std::int32_t>>(std::move(sums))) {}

    const PackedWeights<std::int8_t>& packed() const { return packed_; }
    const float* scales() const { return scales_->get(); }
    // Σ q of each output.
    const std::int32_t* sums() const { return sums_->get(); }
    bool empty() const { return packed_.empty(); }
    // The scales and sums alone.
    Int8Weights without_weights() const {
        Int8Weights rest = *this;
        rest.packed_ = {};
        return rest;
    }

private:
    PackedWeights<std::int8_t> packed_;
    std::shared_ptr<const AlignedBuffer<float>> scales_;
    std::shared_ptr<const AlignedBuffer<std::int32_t>> sums_;
};

}  // namespace dalle2::kernels
