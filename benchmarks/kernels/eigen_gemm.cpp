// Eigen chooses its vectors when it is compiled, so it is included a second time here, for AVX-512
// where the machine that builds has it, and under another name, so that this copy stays in this
// file.
#include "eigen_gemm.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <climits>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#if DALLE2_BENCHMARK_AVX512 && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif
#define Eigen EigenOfBenchmark
#include <Eigen/Core>

namespace kernel_benchmark {

void eigen_product(std::int64_t rows, std::int64_t in, std::int64_t out, const float* x,
                   const float* w, float* y) {
    using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    Eigen::Map<Matrix>(y, rows, out).noalias() =
        Eigen::Map<const Matrix>(x, rows, in) * Eigen::Map<const Matrix>(w, in, out);
}

}  // namespace kernel_benchmark
