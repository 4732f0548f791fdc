// Eigen's matrix product for AVX2.
#include "eigen_gemm.hpp"
#include "standard.hpp"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("avx2,fma")
#endif
#define Eigen EigenAvx2
#define EIGEN_PRODUCT eigen_product_avx2
#include "eigen_gemm.inl"
