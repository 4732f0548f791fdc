// The shape rules of the operations, in one place for all engines. Each throws ShapeError with what
// was found and what was expected; some return what the operation needs to know next.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <dalle2/core/array.hpp>
#include <dalle2/engine/concept.hpp>
#include <dalle2/kernels/shapes.hpp>

namespace dalle2 {

inline void check_parameter_shape(const Shape& expected, const Shape& found) {
    if (expected != found)
        throw ShapeError("parameter of shape " + to_string(found) + ", expected " +
                         to_string(expected));
}

inline void check_last_axis(const char* operation, const Shape& x, std::int64_t width) {
    if (x.empty() || x.back() != width)
        throw ShapeError(std::string(operation) + ": input " + to_string(x) +
                         ", expected a last axis of " + std::to_string(width));
}

// Returns x.
inline Shape check_picture(const char* operation, const Shape& x, std::int64_t channels) {
    if (x.size() != 4 || x[3] != channels)
        throw ShapeError(std::string(operation) + ": input " + to_string(x) +
                         ", expected [batch, height, width, " + std::to_string(channels) + "]");
    return x;
}

// The shape of a convolution's result.
// Of what a linear layer or a convolution adds to its result.
inline void check_added(const char* operation, const Shape& result, const Shape& added) {
    const bool per_picture = result.size() == 4 && added == Shape{result[0], result[3]};
    if (added != result && !per_picture)
        throw ShapeError(std::string(operation) + ": " + to_string(added) + " cannot be added to " +
                         to_string(result));
}

inline Shape conv2d_result(const Shape& x, const Shape& weight, const Conv2dOptions& o) {
    check_picture("conv2d", x, weight[1]);
    if (x[1] + 2 * o.padding < weight[2] || x[2] + 2 * o.padding < weight[3])
        throw ShapeError("conv2d: input " + to_string(x) + " with a padding of " +
                         std::to_string(o.padding) + " is smaller than the kernel, " +
                         std::to_string(weight[2]) + "x" + std::to_string(weight[3]) +
                         "; expected at least one pixel of output");
    return {x[0], kernels::conv2d_extent(x[1], weight[2], o.stride, o.padding),
            kernels::conv2d_extent(x[2], weight[3], o.stride, o.padding), weight[0]};
}

inline void check_groups(const Shape& x, std::int64_t channels, std::int64_t groups) {
    check_last_axis("group_norm", x, channels);
    if (groups < 1 || channels % groups)
        throw ShapeError("group_norm: " + std::to_string(channels) + " channels in " +
                         std::to_string(groups) + " groups, expected a divisor");
}

// Returns q's shape.
inline Shape check_attention(const Shape& q, const Shape& k, const Shape& v,
                             const AttentionOptions& o) {
    const bool shapes = q.size() == 3 && k.size() == 3 && k == v && q[0] == k[0] && q[2] == k[2];
    if (!shapes || o.heads < 1 || q[2] % o.heads)
        throw ShapeError("attention: queries " + to_string(q) + ", keys " + to_string(k) +
                         ", values " + to_string(v) + ", heads " + std::to_string(o.heads) +
                         "; expected [batch, queries, width], twice [batch, keys, width], and "
                         "heads dividing width");
    if (o.mask) {
        const Shape m = shape_of(*o.mask);
        if (m.size() != 3 || (m[0] != 1 && m[0] != q[0]) || (m[1] != 1 && m[1] != q[1]) ||
            m[2] != k[1])
            throw ShapeError("attention: mask " + to_string(m) + ", expected [" +
                             std::to_string(q[0]) + " or 1, " + std::to_string(q[1]) + " or 1, " +
                             std::to_string(k[1]) + "]");
    }
    return q;
}

// y must be the last axes of x.
inline void check_suffix(const char* operation, const Shape& x, const Shape& y) {
    if (y.size() > x.size() || !std::equal(y.rbegin(), y.rend(), x.rbegin()))
        throw ShapeError(std::string(operation) + ": " + to_string(x) + " and " + to_string(y) +
                         ", expected equal shapes or the second to be the last axes of the first");
}

inline void check_modulation(const Shape& x, const Shape& modulation) {
    if (modulation != Shape{x.front(), 2 * x.back()})
        throw ShapeError("group_norm: modulation " + to_string(modulation) + ", expected " +
                         to_string(Shape{x.front(), 2 * x.back()}));
}

inline void check_per_channel(const Shape& x, const Shape& y) {
    if (x.size() < 2 || y.size() != 2 || y[0] != x.front() || y[1] != x.back())
        throw ShapeError("add_per_channel: " + to_string(x) + " and " + to_string(y) +
                         ", expected [batch, ..., channels] and [batch, channels]");
}

// A concatenation along one axis, as copies of contiguous runs.
struct ConcatenationPlan {
    std::size_t axis;
    Shape result;
    std::int64_t outer = 1;                 // runs in each part
    std::vector<std::int64_t> run_lengths;  // one for each part

    ConcatenationPlan(const std::vector<Shape>& shapes, std::int64_t requested_axis) {
        if (shapes.empty()) throw ShapeError("concatenate: no tensors");
        const auto rank = static_cast<std::int64_t>(shapes[0].size());
        const std::int64_t from_front = requested_axis < 0 ? requested_axis + rank : requested_axis;
        if (from_front < 0 || from_front >= rank)
            throw ShapeError("concatenate: axis " + std::to_string(requested_axis) + " of " +
                             to_string(shapes[0]));
        axis = static_cast<std::size_t>(from_front);
        result = shapes[0];
        result[axis] = 0;
        for (const Shape& shape : shapes) {
            Shape others = shape;
            if (shape.size() == result.size()) others[axis] = result[axis];
            if (others != result)
                throw ShapeError("concatenate: " + to_string(shapes[0]) + " and " +
                                 to_string(shape) + " along axis " + std::to_string(axis));
            result[axis] += shape[axis];
        }
        std::int64_t inner = 1;
        for (std::size_t i = 0; i < axis; ++i) outer *= result[i];
        for (std::size_t i = axis + 1; i < result.size(); ++i) inner *= result[i];
        for (const Shape& shape : shapes) run_lengths.push_back(shape[axis] * inner);
    }
};

// A slice along one axis, as copies of contiguous runs out of x.
struct SlicePlan {
    Shape result;
    std::int64_t outer = 1;                           // runs
    std::int64_t length = 1, stride = 1, offset = 0;  // of a run, from run to run, before the first

    SlicePlan(const Shape& x, std::int64_t requested_axis, std::int64_t begin, std::int64_t end)
        : result(x) {
        const auto rank = static_cast<std::int64_t>(x.size());
        const std::int64_t from_front = requested_axis < 0 ? requested_axis + rank : requested_axis;
        if (from_front < 0 || from_front >= rank || begin < 0 || end < begin ||
            end > x[static_cast<std::size_t>(from_front)])
            throw ShapeError("slice: " + std::to_string(begin) + " to " + std::to_string(end) +
                             " of axis " + std::to_string(requested_axis) + " of " + to_string(x));
        const auto axis = static_cast<std::size_t>(from_front);
        std::int64_t inner = 1;
        for (std::size_t i = 0; i < axis; ++i) outer *= x[i];
        for (std::size_t i = axis + 1; i < x.size(); ++i) inner *= x[i];
        result[axis] = end - begin;
        length = (end - begin) * inner;
        stride = x[axis] * inner;
        offset = begin * inner;
    }
};

// Returns the id.
inline std::int32_t check_id(std::int32_t id, std::int64_t rows) {
    if (id < 0 || id >= rows)
        throw ShapeError("embedding: id " + std::to_string(id) + ", expected 0 to " +
                         std::to_string(rows - 1));
    return id;
}

// Returns x.
inline Shape check_selection(const Shape& x, std::span<const std::int32_t> positions) {
    if (x.size() != 3 || static_cast<std::int64_t>(positions.size()) != x[0] ||
        std::any_of(positions.begin(), positions.end(),
                    [&](std::int32_t p) { return p < 0 || p >= x[1]; }))
        throw ShapeError("select_tokens: " + std::to_string(positions.size()) + " positions in " +
                         to_string(x) + ", expected one of 0.." +
                         std::to_string(x.size() == 3 ? x[1] - 1 : 0) + " for each of the batch");
    return x;
}

}  // namespace dalle2
