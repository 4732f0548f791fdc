// Eigen chooses its vectors when it is compiled. A file that wants it for other vectors than the
// compiler's defaults includes standard.hpp of this folder, names its target, renames Eigen so that this
// copy stays its own, and then includes this.
#include <Eigen/Core>

namespace kernel_benchmark {

void EIGEN_PRODUCT(std::int64_t rows, std::int64_t in, std::int64_t out, const float* x,
                   const float* w, float* y) {
    using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    Eigen::Map<Matrix>(y, rows, out).noalias() =
        Eigen::Map<const Matrix>(x, rows, in) * Eigen::Map<const Matrix>(w, in, out);
}

}  // namespace kernel_benchmark
