// CLIP's space turned so that its axes are the principal ones of the pictures' embeddings, the
// widest first. Cosines, and with them all that CLIP says, stay what they were; but a mean and a
// deviation for each axis, which is all that the prior's format has room for, now whiten the
// embeddings altogether: what tells two nouns apart counts as much as what tells two backgrounds
// apart, although it is a smaller part of an embedding. (Ramesh et al. 2022, section 2.2, take the
// same axes.)
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include <Eigen/Core>
#include <Eigen/Eigenvalues>

#include <dalle2/core/array.hpp>

namespace dalle2 {

// The mean and the deviation of each column of some rows, each [columns].
struct ColumnStatistics {
    Array mean, deviation;
};

// rows [rows, columns], at least one. A column narrower than a fiftieth of the widest counts as
// that wide: in bfloat16 it holds little but rounding, which division must not make large. Sums are
// kept as `Sum`.
template <class Sum = double>
ColumnStatistics column_statistics(const Array& rows) {
    using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const std::int64_t count = shape_of(rows)[0], width = shape_of(rows)[1];
    const Eigen::MatrixX<Sum> x =
        Eigen::Map<const Matrix>(rows.data(), count, width).template cast<Sum>();
    const Eigen::RowVectorX<Sum> mean = x.colwise().mean();
    const Eigen::RowVectorX<Sum> deviation =
        (x.rowwise() - mean).array().square().colwise().mean().sqrt();
    const Sum least = std::max(Sum(0.02) * deviation.maxCoeff(), Sum(1e-12));
    ColumnStatistics result{make_array({width}), make_array({width})};
    for (std::int64_t i = 0; i < width; ++i) {
        result.mean(i) = static_cast<float>(mean(i));
        result.deviation(i) = static_cast<float>(std::max(deviation(i), least));
    }
    return result;
}

// The principal axes of rows [rows, columns], as the rows of an orthogonal [columns, columns], the
// widest first; each with the sign that makes its largest component positive, so that the axes of
// turned rows are the unit vectors. Sums are kept as `Sum`.
template <class Sum = double>
Array principal_axes(const Array& rows) {
    using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const std::int64_t count = shape_of(rows)[0], width = shape_of(rows)[1];
    Eigen::MatrixX<Sum> x =
        Eigen::Map<const Matrix>(rows.data(), count, width).template cast<Sum>();
    x.rowwise() -= x.colwise().mean().eval();
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixX<Sum>> solver(x.transpose() * x);
    Array axes = make_array({width, width});
    for (std::int64_t i = 0; i < width; ++i) {
        Eigen::VectorX<Sum> axis = solver.eigenvectors().col(width - 1 - i);
        Eigen::Index largest = 0;
        axis.cwiseAbs().maxCoeff(&largest);
        if (axis(largest) < 0) axis = -axis;
        for (std::int64_t j = 0; j < width; ++j) axes(i, j) = static_cast<float>(axis(j));
    }
    return axes;
}

// axes · weight: a projection into the space [space, in], as the rows of `weight` are, into the
// turned one.
template <class Values>
void turn_projection(const Array& axes, Values& weight) {
    using Scalar = typename Values::value_type;
    using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    using Axes = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const std::int64_t width = shape_of(axes)[0];
    Eigen::Map<Matrix> map(weight.data(), width, static_cast<std::int64_t>(weight.size()) / width);
    map = (Eigen::Map<const Axes>(axes.data(), width, width).template cast<Scalar>() * map).eval();
}

}  // namespace dalle2
