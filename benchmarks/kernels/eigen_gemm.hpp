// Eigen's matrix product, built for the instruction sets that it knows.
#pragma once

#include <cstdint>

#include <dalle2/kernels/isa.hpp>

namespace kernel_benchmark {

// y [rows, out] = x [rows, in] · w [in, out], all row-major.
using EigenProduct = void(std::int64_t rows, std::int64_t in, std::int64_t out, const float* x,
                          const float* w, float* y);

EigenProduct eigen_product_avx2, eigen_product_avx512;

// The best one that this processor runs; null where there is none.
inline EigenProduct* eigen_product() {
    using dalle2::kernels::available;
    using dalle2::kernels::Isa;
    if (available(Isa::avx512)) return eigen_product_avx512;
    return available(Isa::avx2) ? eigen_product_avx2 : nullptr;
}

}  // namespace kernel_benchmark
