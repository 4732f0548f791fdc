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
#include <dalle2/engine/operation_cost.hpp>

namespace dalle2 {

struct TraceEntry : OperationCost {
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

    void add(OperationCost cost) {
        const std::int64_t bytes = cost.bytes(bytes_per_element_);
        entries_.push_back({std::move(cost), bytes});
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

    static Tensor linear(const Tensor& x, const Parameter& weight, const Parameter* bias,
                         const Tensor* added = nullptr, Activation = Activation::none) {
        return record(operations::linear(x.shape, weight.shape(), shape_or_null(bias),
                                         added ? &added->shape : nullptr));
    }
    static Tensor conv2d(const Tensor& x, const Parameter& weight, const Parameter* bias,
                         const Conv2dOptions& o, const Tensor* added = nullptr) {
        return record(operations::conv2d(x.shape, weight.shape(), shape_or_null(bias), o,
                                         added ? &added->shape : nullptr));
    }
    static Tensor group_norm(const Tensor& x, const Parameter& scale, const Parameter& shift,
                             const Tensor* modulation, const GroupNormOptions& o) {
        return record(operations::group_norm(x.shape, scale.shape(), shift.shape(),
                                             modulation ? &modulation->shape : nullptr, o));
    }
    static Tensor layer_norm(const Tensor& x, const Parameter& scale, const Parameter& shift,
                             double) {
        return record(operations::layer_norm(x.shape, scale.shape(), shift.shape()));
    }
    static Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                            const AttentionOptions& o) {
        return record(operations::attention(q.shape, k.shape, v.shape, o));
    }
    static Tensor activate(const Tensor& x, Activation) {
        return record(operations::activate(x.shape));
    }

    static Tensor add(const Tensor& x, const Tensor& y) {
        return record(operations::add(x.shape, y.shape));
    }
    static Tensor add_per_channel(const Tensor& x, const Tensor& y) {
        return record(operations::add_per_channel(x.shape, y.shape));
    }
    static Tensor scale(const Tensor& x, double) { return record(operations::scale(x.shape)); }

    static Tensor concatenate(const std::vector<Tensor>& parts, std::int64_t axis) {
        std::vector<Shape> shapes;
        for (const Tensor& part : parts) shapes.push_back(part.shape);
        return record(operations::concatenate(std::move(shapes), axis));
    }
    static Tensor slice(const Tensor& x, std::int64_t axis, std::int64_t begin, std::int64_t end) {
        return record(operations::slice(x.shape, axis, begin, end));
    }
    // The same memory under another shape.
    static Tensor reshape(const Tensor& x, const Shape& shape) {
        if (element_count(shape) != element_count(x.shape))
            throw ShapeError("cannot reshape " + to_string(x.shape) + " to " + to_string(shape));
        return {shape, x.memory};
    }
    static Tensor transpose(const Tensor& x) { return record(operations::transpose(x.shape)); }
    static Tensor repeat(const Tensor& x, std::int64_t times) {
        return record(operations::repeat(x.shape, times));
    }

    static Tensor average_pool2(const Tensor& x) {
        return record(operations::average_pool2(x.shape));
    }
    static Tensor upsample_nearest2(const Tensor& x) {
        return record(operations::upsample_nearest2(x.shape));
    }

    static Tensor embedding(const Parameter& table, std::span<const std::int32_t> ids) {
        return record(operations::embedding(table.shape(), ids));
    }
    static Tensor select_tokens(const Tensor& x, std::span<const std::int32_t> positions) {
        return record(operations::select_tokens(x.shape, positions));
    }

private:
    static const Shape* shape_or_null(const Parameter* parameter) {
        return parameter ? &parameter->shape() : nullptr;
    }

    static Tensor record(OperationCost cost) {
        Shape result = cost.result;
        if (TraceLog* log = TraceLog::current()) log->add(std::move(cost));
        return tensor(std::move(result));
    }
};

static_assert(Engine<Trace>);

}  // namespace dalle2
