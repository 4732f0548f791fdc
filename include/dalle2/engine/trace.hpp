// The engine that computes nothing: its tensors are shapes. A model that runs on it tells what it
// would have done: each operation with its shapes, multiply-adds and memory traffic, and how much
// memory the activations need. Nothing of a checkpoint but its configs is needed for that.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/arena.hpp>
#include <dalle2/engine/concept.hpp>
#include <dalle2/engine/shape_checks.hpp>

namespace dalle2 {

struct TraceEntry {
    std::string operation;      // "linear", "conv2d 3x3", "attention", ...
    std::vector<Shape> inputs;  // tensors, then parameters
    Shape result;
    std::int64_t multiply_adds = 0;
    std::int64_t bytes = 0;  // read and written, if nothing stays in a cache
};

// All operations of one kind together.
struct TraceSummary {
    std::string operation;
    std::int64_t count = 0, multiply_adds = 0, bytes = 0;
};

// What happened on the Trace engine, on this thread, while a TraceLog::Scope of it lived.
class TraceLog {
    struct Memory {
        std::int64_t live = 0, peak = 0;
        ArenaLayout places;
    };

public:
    // bytes_per_element: 4 for float, 2 for bfloat16.
    explicit TraceLog(std::int64_t bytes_per_element = 4)
        : bytes_per_element_(bytes_per_element), memory_(std::make_shared<Memory>()) {}

    // While it lives, operations of this thread are written to `log`. Scopes may nest.
    class Scope {
    public:
        explicit Scope(TraceLog& log) : previous_(std::exchange(current(), &log)) {}
        ~Scope() { current() = previous_; }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;

    private:
        TraceLog* previous_;
    };

    // Null outside of every scope.
    static TraceLog*& current() {
        thread_local TraceLog* log = nullptr;
        return log;
    }

    const std::vector<TraceEntry>& entries() const { return entries_; }
    std::int64_t multiply_adds() const {
        return sum([](const TraceEntry& entry) { return entry.multiply_adds; });
    }
    std::int64_t bytes() const {
        return sum([](const TraceEntry& entry) { return entry.bytes; });
    }
    // The most memory that activations held at one time, in bytes.
    std::int64_t peak_bytes() const { return memory_->peak; }
    // The memory that a BufferPool needs for them: the peak, and the gaps between blocks of
    // different sizes.
    std::int64_t arena_bytes() const { return static_cast<std::int64_t>(memory_->places.extent()); }

    // By kind of operation, the most multiply-adds first.
    std::vector<TraceSummary> summary() const {
        std::vector<TraceSummary> kinds;
        for (const TraceEntry& entry : entries_) {
            auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const TraceSummary& k) {
                return k.operation == entry.operation;
            });
            if (kind == kinds.end()) kind = kinds.insert(kinds.end(), {entry.operation});
            ++kind->count;
            kind->multiply_adds += entry.multiply_adds;
            kind->bytes += entry.bytes;
        }
        std::stable_sort(kinds.begin(), kinds.end(), [](const auto& a, const auto& b) {
            return std::pair(a.multiply_adds, a.bytes) > std::pair(b.multiply_adds, b.bytes);
        });
        return kinds;
    }

    void add(std::string operation, std::vector<Shape> inputs, Shape result,
             std::int64_t multiply_adds) {
        std::int64_t elements = element_count(result);
        for (const Shape& input : inputs) elements += element_count(input);
        entries_.push_back({std::move(operation), std::move(inputs), std::move(result),
                            multiply_adds, elements * bytes_per_element_});
    }

    // Counts as memory in use until the last copy is gone.
    std::shared_ptr<const void> allocate(std::int64_t elements) {
        const std::int64_t bytes = elements * bytes_per_element_;
        memory_->live += bytes;
        memory_->peak = std::max(memory_->peak, memory_->live);
        const auto size = static_cast<std::size_t>(bytes);
        const std::size_t place = memory_->places.take(size);
        return {memory_.get(), [memory = memory_, bytes, size, place](const void*) {
                    memory->live -= bytes;
                    memory->places.give_back(place, size);
                }};
    }

private:
    template <class Value>
    std::int64_t sum(Value value) const {
        std::int64_t total = 0;
        for (const TraceEntry& entry : entries_) total += value(entry);
        return total;
    }

    std::int64_t bytes_per_element_;
    std::shared_ptr<Memory> memory_;  // shared with the tensors, which may outlive the log
    std::vector<TraceEntry> entries_;
};

struct Trace {
    struct Tensor {
        Shape shape;
        std::shared_ptr<const void> memory;  // null where no log was written
    };

    class Parameter {
    public:
        Parameter(Shape shape, ParameterKind kind) : shape_(std::move(shape)), kind_(kind) {}
        const Shape& shape() const { return shape_; }
        ParameterKind kind() const { return kind_; }

    private:
        Shape shape_;
        ParameterKind kind_;
    };

    static Tensor tensor(Shape shape) {
        TraceLog* log = TraceLog::current();
        auto memory = log ? log->allocate(element_count(shape)) : nullptr;
        return {std::move(shape), std::move(memory)};
    }
    static Tensor from_array(const Array& array) { return tensor(shape_of(array)); }
    // Zeros.
    static Array to_array(const Tensor& x) { return make_array(x.shape); }
    static const Shape& shape(const Tensor& x) { return x.shape; }

    static void load(Parameter& parameter, const Array& values) {
        check_parameter_shape(parameter.shape(), shape_of(values));
    }
    static Array store(const Parameter& parameter) { return make_array(parameter.shape()); }
    static Tensor value(const Parameter& parameter) { return {parameter.shape(), nullptr}; }

    static Tensor linear(const Tensor& x, const Parameter& weight, const Parameter* bias) {
        const Shape& w = weight.shape();
        check_last_axis("linear", x.shape, w[1]);
        Shape result = x.shape;
        result.back() = w[0];
        return record("linear", with_bias({x.shape, w}, bias), result,
                      element_count(result) * w[1]);
    }

    static Tensor conv2d(const Tensor& x, const Parameter& weight, const Parameter* bias,
                         const Conv2dOptions& o) {
        const Shape& w = weight.shape();
        const Shape s = check_picture("conv2d", x.shape, w[1]);
        const auto extent = [&](std::int64_t in, std::int64_t kernel) {
            return (in + 2 * o.padding - kernel) / o.stride + 1;
        };
        const Shape result = {s[0], extent(s[1], w[2]), extent(s[2], w[3]), w[0]};
        return record("conv2d " + std::to_string(w[2]) + "x" + std::to_string(w[3]),
                      with_bias({x.shape, w}, bias), result,
                      element_count(result) * w[1] * w[2] * w[3]);
    }

    static Tensor group_norm(const Tensor& x, const Parameter& scale, const Parameter& shift,
                             const Tensor* modulation, const GroupNormOptions& o) {
        check_groups(x.shape, scale.shape()[0], o.groups);
        std::vector<Shape> inputs = {x.shape, scale.shape(), shift.shape()};
        if (modulation) {
            check_modulation(x.shape, modulation->shape);
            inputs.push_back(modulation->shape);
        }
        return record("group_norm", std::move(inputs), x.shape);
    }

    static Tensor layer_norm(const Tensor& x, const Parameter& scale, const Parameter& shift,
                             double) {
        check_last_axis("layer_norm", x.shape, scale.shape()[0]);
        return record("layer_norm", {x.shape, scale.shape(), shift.shape()}, x.shape);
    }

    // Counts both products, scores and weighted sum.
    static Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                            const AttentionOptions& o) {
        const Shape s = check_attention(q.shape, k.shape, v.shape, o);
        std::vector<Shape> inputs = {q.shape, k.shape, v.shape};
        if (o.mask) inputs.push_back(shape_of(*o.mask));
        return record("attention", std::move(inputs), s, 2 * element_count(s) * k.shape[1]);
    }

    static Tensor activate(const Tensor& x, Activation) {
        return record("activate", {x.shape}, x.shape);
    }

    static Tensor add(const Tensor& x, const Tensor& y) {
        check_suffix("add", x.shape, y.shape);
        return record("add", {x.shape, y.shape}, x.shape);
    }
    static Tensor add_per_channel(const Tensor& x, const Tensor& y) {
        check_per_channel(x.shape, y.shape);
        return record("add_per_channel", {x.shape, y.shape}, x.shape);
    }
    static Tensor scale(const Tensor& x, double) { return record("scale", {x.shape}, x.shape); }

    static Tensor concatenate(const std::vector<Tensor>& parts, std::int64_t axis) {
        std::vector<Shape> shapes;
        for (const Tensor& part : parts) shapes.push_back(part.shape);
        const Shape result = ConcatenationPlan(shapes, axis).result;
        return record("concatenate", std::move(shapes), result);
    }
    static Tensor slice(const Tensor& x, std::int64_t axis, std::int64_t begin, std::int64_t end) {
        const Shape result = SlicePlan(x.shape, axis, begin, end).result;
        return record("slice", {result}, result);  // only the slice is read
    }
    // The same memory under another shape.
    static Tensor reshape(const Tensor& x, const Shape& shape) {
        if (element_count(shape) != element_count(x.shape))
            throw ShapeError("cannot reshape " + to_string(x.shape) + " to " + to_string(shape));
        return {shape, x.memory};
    }
    static Tensor transpose(const Tensor& x) {
        Shape result = x.shape;
        if (result.size() < 2)
            throw ShapeError("transpose: " + to_string(result) + ", expected at least two axes");
        std::swap(result[result.size() - 2], result.back());
        return record("transpose", {x.shape}, result);
    }
    static Tensor repeat(const Tensor& x, std::int64_t times) {
        Shape result = x.shape;
        result.at(0) *= times;
        return record("repeat", {x.shape}, result);
    }

    static Tensor average_pool2(const Tensor& x) {
        const Shape s = check_picture("average_pool2", x.shape, x.shape.back());
        return record("average_pool2", {s}, {s[0], s[1] / 2, s[2] / 2, s[3]});
    }
    static Tensor upsample_nearest2(const Tensor& x) {
        const Shape s = check_picture("upsample_nearest2", x.shape, x.shape.back());
        return record("upsample_nearest2", {s}, {s[0], 2 * s[1], 2 * s[2], s[3]});
    }

    static Tensor embedding(const Parameter& table, std::span<const std::int32_t> ids) {
        for (const std::int32_t id : ids) check_id(id, table.shape()[0]);
        const Shape result = {static_cast<std::int64_t>(ids.size()), table.shape()[1]};
        return record("embedding", {result}, result);  // only the rows are read
    }
    static Tensor select_tokens(const Tensor& x, std::span<const std::int32_t> positions) {
        const Shape s = check_selection(x.shape, positions);
        return record("select_tokens", {{s[0], s[2]}}, {s[0], s[2]});
    }

private:
    static std::vector<Shape> with_bias(std::vector<Shape> inputs, const Parameter* bias) {
        if (bias) inputs.push_back(bias->shape());
        return inputs;
    }

    static Tensor record(std::string operation, std::vector<Shape> inputs, const Shape& result,
                         std::int64_t multiply_adds = 0) {
        if (TraceLog* log = TraceLog::current())
            log->add(std::move(operation), std::move(inputs), result, multiply_adds);
        return tensor(result);
    }
};

static_assert(Engine<Trace>);

}  // namespace dalle2
