// Eigen's matrix product, built for the best instruction set that Eigen knows.
#pragma once

#include <cstdint>

namespace kernel_benchmark {

// y [rows, out] = x [rows, in] · w [in, out], all row-major.
void eigen_product(std::int64_t rows, std::int64_t in, std::int64_t out, const float* x,
                   const float* w, float* y);

}  // namespace kernel_benchmark
