// What one operation of an engine works on, and what that costs: the one home of the formulas, for
// the Trace engine, which computes nothing else, and for a profile, which puts seconds beside them.
// Each function throws ShapeError for what the operation itself would throw it for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/array.hpp>
#include <dalle2/engine/shape_checks.hpp>

namespace dalle2 {

struct OperationCost {
    std::string operation;      // "linear", "conv2d 3x3", "attention", ...
    std::vector<Shape> inputs;  // tensors, then parameters
    Shape result;
    std::int64_t multiply_adds = 0;
    // Of the weight, inputs[1], where its type is not that of tensors.
    std::optional<std::int64_t> weight_bytes = {};

    // Read and written, if nothing stays in a cache.
    std::int64_t bytes(std::int64_t bytes_per_element) const {
        std::int64_t sum = element_count(result) * bytes_per_element;
        for (std::size_t i = 0; i < inputs.size(); ++i)
            sum += i == 1 && weight_bytes ? *weight_bytes
                                          : element_count(inputs[i]) * bytes_per_element;
        return sum;
    }
};

namespace operations {

// A null bias is none, and what is added may be none as well.
inline OperationCost linear(const Shape& x, const Shape& weight, const Shape* bias,
                            const Shape* added) {
    check_last_axis("linear", x, weight[1]);
    Shape result = x;
    result.back() = weight[0];
    if (added) check_added("linear", result, *added);
    std::vector<Shape> inputs = {x, weight};
    for (const Shape* more : {bias, added})
        if (more) inputs.push_back(*more);
    const std::int64_t multiply_adds = element_count(result) * weight[1];
    return {"linear", std::move(inputs), std::move(result), multiply_adds};
}

inline OperationCost conv2d(const Shape& x, const Shape& weight, const Shape* bias,
                            const Conv2dOptions& o, const Shape* added) {
    Shape result = conv2d_result(x, weight, o);
    if (added) check_added("conv2d", result, *added);
    std::vector<Shape> inputs = {x, weight};
    for (const Shape* more : {bias, added})
        if (more) inputs.push_back(*more);
    const std::int64_t multiply_adds = element_count(result) * weight[1] * weight[2] * weight[3];
    return {"conv2d " + std::to_string(weight[2]) + "x" + std::to_string(weight[3]),
            std::move(inputs), std::move(result), multiply_adds};
}

// A null modulation is none.
inline OperationCost group_norm(const Shape& x, const Shape& scale, const Shape& shift,
                                const Shape* modulation, const GroupNormOptions& o) {
    check_groups(x, scale[0], o.groups);
    std::vector<Shape> inputs = {x, scale, shift};
    if (modulation) {
        check_modulation(x, *modulation);
        inputs.push_back(*modulation);
    }
    return {"group_norm", std::move(inputs), x};
}

inline OperationCost layer_norm(const Shape& x, const Shape& scale, const Shape& shift) {
    check_last_axis("layer_norm", x, scale[0]);
    return {"layer_norm", {x, scale, shift}, x};
}

// Counts both products, scores and weighted sum.
inline OperationCost attention(const Shape& q, const Shape& k, const Shape& v,
                               const AttentionOptions& o) {
    check_attention(q, k, v, o);
    std::vector<Shape> inputs = {q, k, v};
    if (o.mask) inputs.push_back(shape_of(*o.mask));
    return {"attention", std::move(inputs), q, 2 * element_count(q) * k[1]};
}

inline OperationCost activate(const Shape& x) { return {"activate", {x}, x}; }

inline OperationCost add(const Shape& x, const Shape& y) {
    check_suffix("add", x, y);
    return {"add", {x, y}, x};
}

inline OperationCost add_per_channel(const Shape& x, const Shape& y) {
    check_per_channel(x, y);
    return {"add_per_channel", {x, y}, x};
}

inline OperationCost scale(const Shape& x) { return {"scale", {x}, x}; }

inline OperationCost concatenate(std::vector<Shape> parts, std::int64_t axis) {
    Shape result = ConcatenationPlan(parts, axis).result;
    return {"concatenate", std::move(parts), std::move(result)};
}

// Only the slice is read.
inline OperationCost slice(const Shape& x, std::int64_t axis, std::int64_t begin,
                           std::int64_t end) {
    const Shape result = SlicePlan(x, axis, begin, end).result;
    return {"slice", {result}, result};
}

inline OperationCost transpose(const Shape& x) {
    if (x.size() < 2)
        throw ShapeError("transpose: " + to_string(x) + ", expected at least two axes");
    Shape result = x;
    std::swap(result[result.size() - 2], result.back());
    return {"transpose", {x}, std::move(result)};
}

inline OperationCost repeat(const Shape& x, std::int64_t times) {
    Shape result = x;
    result.at(0) *= times;
    return {"repeat", {x}, std::move(result)};
}

inline OperationCost average_pool2(const Shape& x) {
    check_picture("average_pool2", x, x.back());
    return {"average_pool2", {x}, {x[0], x[1] / 2, x[2] / 2, x[3]}};
}

inline OperationCost upsample_nearest2(const Shape& x) {
    check_picture("upsample_nearest2", x, x.back());
    return {"upsample_nearest2", {x}, {x[0], 2 * x[1], 2 * x[2], x[3]}};
}

// Only the rows are read.
inline OperationCost embedding(const Shape& table, std::span<const std::int32_t> ids) {
    for (const std::int32_t id : ids) check_id(id, table[0]);
    const Shape result = {static_cast<std::int64_t>(ids.size()), table[1]};
    return {"embedding", {result}, result};
}

inline OperationCost select_tokens(const Shape& x, std::span<const std::int32_t> positions) {
    check_selection(x, positions);
    return {"select_tokens", {{x[0], x[2]}}, {x[0], x[2]}};
}

}  // namespace operations

}  // namespace dalle2
