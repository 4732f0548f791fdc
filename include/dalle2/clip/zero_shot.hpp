// Zero-shot classification: which of some texts describes a picture best, by the angle between
// their CLIP embeddings (Radford et al. 2021, section 3.1).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/clip/unit_rows.hpp>
#include <dalle2/core/array.hpp>
#include <dalle2/core/error.hpp>

namespace dalle2 {

// The cosine of the angle between each picture and each label: pictures [pictures, embedding] and
// labels [labels, embedding] → [pictures, labels], −1 to 1. The lengths of the embeddings do not
// matter; with an embedding of zeros the cosine is 0. Throws ShapeError.
inline Array cosine_similarities(const Array& pictures, const Array& labels) {
    const Shape a = shape_of(pictures), b = shape_of(labels);
    if (a.size() != 2 || b.size() != 2 || a[1] != b[1])
        throw ShapeError("zero-shot: embeddings of pictures " + to_string(a) + " and of labels " +
                         to_string(b) + "; expected [pictures, embedding] and [labels, embedding]");
    const Array x = unit_rows(pictures).directions, y = unit_rows(labels).directions;
    Array cosines = make_array({a[0], b[0]});
    for (std::int64_t picture = 0; picture < a[0]; ++picture)
        for (std::int64_t label = 0; label < b[0]; ++label) {
            const float *p = x.data() + picture * a[1], *q = y.data() + label * a[1];
            double sum = 0;
            for (std::int64_t i = 0; i < a[1]; ++i)
                sum += static_cast<double>(p[i]) * static_cast<double>(q[i]);
            cosines.data()[picture * b[0] + label] = static_cast<float>(sum);
        }
    return cosines;
}

// How probable CLIP finds each label for each picture, when one of them must be right: the softmax
// over labels of logit_scale · cosine, [pictures, labels]. The scale is CLIP's learned inverse
// temperature; the public models end at 100, the largest value that training allows. Throws
// ShapeError as cosine_similarities, and when there is no label.
inline Array label_probabilities(const Array& pictures, const Array& labels,
                                 double logit_scale = 100) {
    Array result = cosine_similarities(pictures, labels);
    const std::int64_t rows = shape_of(result)[0], count = shape_of(result)[1];
    if (count == 0) throw ShapeError("zero-shot: no labels; expected at least one");
    for (std::int64_t row = 0; row < rows; ++row) {
        float* values = result.data() + row * count;
        // Less the largest, so that no exponential overflows.
        const double largest = *std::max_element(values, values + count);
        double sum = 0;
        for (std::int64_t i = 0; i < count; ++i)
            sum += std::exp(logit_scale * (values[i] - largest));
        for (std::int64_t i = 0; i < count; ++i)
            values[i] = static_cast<float>(std::exp(logit_scale * (values[i] - largest)) / sum);
    }
    return result;
}

// The vectors of labels that are each described by several sentences (section 3.1.4): sentences
// [labels · count, embedding], those of a label in a row → [labels, embedding]. The mean of their
// directions, at unit length. Throws ShapeError when the rows are not a multiple of `count`.
inline Array mean_directions(const Array& sentences, std::int64_t count) {
    const Shape shape = shape_of(sentences);
    if (shape.size() != 2 || count < 1 || shape[0] % count)
        throw ShapeError("zero-shot: embeddings of sentences " + to_string(shape) + ", " +
                         std::to_string(count) +
                         " for each label; expected [labels · count, embedding]");
    const Array directions = unit_rows(sentences).directions;
    Array means = make_array({shape[0] / count, shape[1]});
    for (std::int64_t label = 0; label < shape[0] / count; ++label)
        for (std::int64_t i = 0; i < shape[1]; ++i) {
            double sum = 0;
            for (std::int64_t k = 0; k < count; ++k)
                sum += static_cast<double>(directions.data()[(label * count + k) * shape[1] + i]);
            means.data()[label * shape[1] + i] =
                static_cast<float>(sum / static_cast<double>(count));
        }
    return unit_rows(std::move(means)).directions;
}

// The best label of each row of similarities or probabilities [pictures, labels]: the first of the
// largest; −1 where no value is a number.
inline std::vector<std::int64_t> best_labels(const Array& scores) {
    const Shape shape = shape_of(scores);
    if (shape.size() != 2)
        throw ShapeError("zero-shot: scores " + to_string(shape) + "; expected [pictures, labels]");
    std::vector<std::int64_t> best(static_cast<std::size_t>(shape[0]), -1);
    for (std::int64_t row = 0; row < shape[0]; ++row) {
        const float* values = scores.data() + row * shape[1];
        std::int64_t& found = best[static_cast<std::size_t>(row)];
        for (std::int64_t i = 0; i < shape[1]; ++i)
            if (!std::isnan(values[i]) && (found < 0 || values[i] > values[found])) found = i;
    }
    return best;
}

}  // namespace dalle2
