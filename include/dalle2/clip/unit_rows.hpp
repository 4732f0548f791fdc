// Embeddings as directions: CLIP compares texts and pictures by the angle between them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include <dalle2/core/array.hpp>

namespace dalle2 {

struct UnitRows {
    Array directions;             // [rows, width]; a row of zeros stays one
    std::vector<double> lengths;  // at least 1e-12, so that dividing by them is safe
};

// x [rows, width], each row divided by its length.
inline UnitRows unit_rows(Array x) {
    const Shape shape = shape_of(x);
    std::vector<double> lengths;
    for (std::int64_t row = 0; row < shape[0]; ++row) {
        float* values = x.data() + row * shape[1];
        double square = 0;
        for (std::int64_t i = 0; i < shape[1]; ++i)
            square += static_cast<double>(values[i]) * static_cast<double>(values[i]);
        lengths.push_back(std::sqrt(std::max(square, 1e-24)));
        for (std::int64_t i = 0; i < shape[1]; ++i)
            values[i] = static_cast<float>(static_cast<double>(values[i]) / lengths.back());
    }
    return {std::move(x), std::move(lengths)};
}

}  // namespace dalle2
