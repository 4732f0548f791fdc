// Weights to test with.
#pragma once

#include <random>

#include <dalle2/core/array.hpp>

// Normally distributed, the same for the same seed.
inline dalle2::Array normal_values(const dalle2::Shape& shape, unsigned seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    dalle2::Array x = dalle2::make_array(shape);
    for (float& value : x) value = normal(generator);
    return x;
}
