// Arrays at the interface between an application and an engine, and their shapes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/core/xtensor.hpp>

namespace dalle2 {

// Extents, outermost first. Pictures are [batch, height, width, channels], texts [batch, tokens,
// width].
using Shape = std::vector<std::int64_t>;

// A dense row-major array that owns its elements.
template <class T>
using BasicArray = xt::xarray<T, xt::layout_type::row_major>;
using Array = BasicArray<float>;

inline std::int64_t element_count(const Shape& shape) {
    return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

inline std::string to_string(const Shape& shape) {
    std::string text = "[";
    for (std::size_t i = 0; i < shape.size(); ++i)
        text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + "]";
}

template <class T>
Shape shape_of(const BasicArray<T>& array) {
    return Shape(array.shape().begin(), array.shape().end());
}

// An array of the given shape, every element `value`.
template <class T = float>
BasicArray<T> make_array(const Shape& shape, T value = T{}) {
    return BasicArray<T>(typename BasicArray<T>::shape_type(shape.begin(), shape.end()), value);
}

// The same elements under another shape. Throws ShapeError when the counts differ.
template <class T>
BasicArray<T> reshaped(BasicArray<T> array, const Shape& shape) {
    if (element_count(shape) != static_cast<std::int64_t>(array.size()))
        throw ShapeError("cannot reshape " + to_string(shape_of(array)) + " to " +
                         to_string(shape));
    array.reshape(typename BasicArray<T>::shape_type(shape.begin(), shape.end()));
    return array;
}

}  // namespace dalle2
