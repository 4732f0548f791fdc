// Eigen's matrix product for AVX512.
#include "eigen_gemm.hpp"
#include "standard.hpp"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif
#define Eigen EigenAvx512
#define EIGEN_PRODUCT eigen_product_avx512
#include "eigen_gemm.inl"
