// What the fast CPU engine computes with: dense channels-last tensors and packed parameters.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <dalle2/core/array.hpp>
#include <dalle2/core/bfloat16.hpp>
#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/core/finite.hpp>
#include <dalle2/engine/shape_checks.hpp>
#include <dalle2/kernels/copy.hpp>
#include <dalle2/kernels/kernels.hpp>
#include <dalle2/kernels/pack_rows.hpp>

namespace dalle2 {

// A shape and shared, dense, row-major elements of type T. Copies share the elements, which nobody
// changes once an operation has returned them.
template <class T>
class CpuTensor {
public:
    CpuTensor() = default;
    explicit CpuTensor(Shape shape)
        : shape_(std::move(shape)),
          count_(element_count(shape_)),
          data_(BufferPool::allocate_array<T>(count_)) {}

    const Shape& shape() const { return shape_; }
    std::int64_t count() const { return count_; }
    std::int64_t extent(std::size_t axis) const { return shape_[axis]; }
    std::int64_t channels() const { return shape_.back(); }
    // Everything but the last axis.
    std::int64_t rows() const { return count_ / shape_.back(); }
    // Everything but the first and the last axis.
    std::int64_t pixels() const { return rows() / shape_.front(); }

    const T* data() const { return data_.get(); }
    T* data() { return data_.get(); }
    bool empty() const { return data_ == nullptr; }

    // What is known of the elements of each channel, for a group norm, and of each picture, for
    // int8; empty or null where nothing is.
    const kernels::ChannelMoments& moments() const { return moments_; }
    void set_moments(kernels::ChannelMoments moments) { moments_ = std::move(moments); }
    const kernels::Extremes* extremes() const { return extremes_.get(); }
    void set_extremes(kernels::AlignedBuffer<kernels::Extremes> extremes) {
        extremes_ = std::move(extremes);
    }

    // The same elements under another shape.
    CpuTensor reshaped(Shape shape) const {
        if (element_count(shape) != count_)
            throw ShapeError("cannot reshape " + to_string(shape_) + " to " + to_string(shape));
        CpuTensor result = *this;
        result.shape_ = std::move(shape);
        result.moments_ = {};
        result.extremes_ = {};
        return result;
    }

private:
    Shape shape_;
    std::int64_t count_ = 0;
    std::shared_ptr<T> data_;
    kernels::ChannelMoments moments_;
    kernels::AlignedBuffer<kernels::Extremes> extremes_;
};

template <class T>
CpuTensor<T> cpu_tensor(const Array& array) {
    CpuTensor<T> x(shape_of(array));
    kernels::convert_from_float(x.count(), array.data(), x.data());
    return x;
}

template <class T>
Array to_array(const CpuTensor<T>& x) {
    Array array = make_array(x.shape());
    kernels::convert_to_float(x.count(), x.data(), array.data());
    return array;
}

namespace detail {

[[noreturn]] inline void throw_not_loaded(const Shape& shape) {
    throw Error("a parameter of shape " + to_string(shape) +
                " is used before its values were loaded, or not as the kind that it was made for");
}

// Whether a parameter's weights are packed so.
template <class T>
bool is_layout_of(const kernels::PackedLayout<T>& layout, const Shape& shape, ParameterKind kind) {
    switch (kind) {
        case ParameterKind::matrix:
            return shape == Shape{layout.out, layout.in} && layout.kernel_height == 1 &&
                   layout.kernel_width == 1;
        case ParameterKind::convolution:
            return shape == Shape{layout.out, layout.in, layout.kernel_height, layout.kernel_width};
        default: return false;
    }
}

}  // namespace detail

// A parameter in the form in which its kernels want it: weights packed, vectors in the
// accumulator's type, tables and tensors as they are. Copies share it until one of them is loaded
// anew. (All of it is behind one pointer: networks of hundreds of parameters are moved and freed by
// code that would otherwise be many times as large.)
template <class T>
class CpuParameter {
public:
    CpuParameter(Shape shape, ParameterKind kind)
        : contents_(std::make_shared<const Contents>(Contents{std::move(shape), kind})) {}

    // Of this parameter as it is: to be copied by who loads it anew.
    const Shape& shape() const { return contents_->shape; }
    ParameterKind kind() const { return contents_->kind; }

    // values: row-major, in the order of shape(). In the memory of the pool in whose scope it is
    // called, if there is one.
    void load(const Accumulator<T>* values) {
        Contents loaded{shape(), kind()};
        const Shape& s = loaded.shape;
        const std::int64_t count = element_count(s);
        switch (loaded.kind) {
            case ParameterKind::matrix:
            case ParameterKind::convolution: {
                const auto layout = kernels::packed_layout<T>(s);
                loaded.packed = kernels::pack_weights<T>(values, layout.out, layout.in,
                                                         layout.kernel_height, layout.kernel_width);
                break;
            }
            case ParameterKind::vector: loaded.vector.assign(values, values + count); break;
            case ParameterKind::table:
            case ParameterKind::tensor:
                loaded.tensor = CpuTensor<T>(s);
                if constexpr (std::is_same_v<Accumulator<T>, float>)
                    kernels::convert_from_float(count, values, loaded.tensor.data());
                else
                    std::transform(values, values + count, loaded.tensor.data(),
                                   [](Accumulator<T> value) { return static_cast<T>(value); });
                break;
        }
        contents_ = std::make_shared<const Contents>(std::move(loaded));
    }

    // The same, from rows [shape()[0]] of values as `read` gives them, without a copy of all of
    // them as floats. Returns how many are infinite or not a number.
    std::int64_t load_rows(const kernels::RowReader& read) {
        const Shape& s = shape();
        const std::int64_t rows = s.empty() ? 1 : s[0];  // a scalar is a row
        std::int64_t not_finite = 0;
        Contents loaded{s, kind()};
        if (kind() == ParameterKind::matrix || kind() == ParameterKind::convolution) {
            loaded.packed = kernels::pack_rows<T>(kernels::packed_layout<T>(s), read, not_finite);
        } else if (kind() == ParameterKind::vector) {
            loaded.vector.resize(static_cast<std::size_t>(element_count(s)));
            read(0, rows, loaded.vector.data());
            not_finite = count_not_finite(element_count(s), loaded.vector.data());
        } else {
            const BufferPool::Outside outside;  // it stays
            loaded.tensor = CpuTensor<T>(s);
            const std::int64_t width = loaded.tensor.count() / std::max<std::int64_t>(rows, 1);
            const std::int64_t together =
                std::max<std::int64_t>(1, 65536 / std::max<std::int64_t>(width, 1));
            std::vector<float> values(static_cast<std::size_t>(together * width));
            for (std::int64_t row = 0; row < rows; row += together) {
                const std::int64_t count = std::min(together, rows - row);
                read(row, count, values.data());
                not_finite += count_not_finite(count * width, values.data());
                kernels::convert_from_float(count * width, values.data(),
                                            loaded.tensor.data() + row * width);
            }
        }
        contents_ = std::make_shared<const Contents>(std::move(loaded));
        return not_finite;
    }

    // Takes weights that are packed already, without a copy; returns whether they are of this kind
    // and shape.
    bool take(const kernels::PackedWeights<T>& packed) {
        if (!detail::is_layout_of(packed.layout(), shape(), kind())) return false;
        Contents taken{shape(), kind()};
        taken.packed = packed;
        contents_ = std::make_shared<const Contents>(std::move(taken));
        return true;
    }

    // The inverse of load, but for rounding.
    std::vector<Accumulator<T>> store() const {
        std::vector<Accumulator<T>> values(static_cast<std::size_t>(element_count(shape())));
        if (kind() == ParameterKind::vector)
            std::copy_n(vector(), values.size(), values.begin());
        else if (kind() == ParameterKind::table || kind() == ParameterKind::tensor)
            std::transform(tensor().data(), tensor().data() + tensor().count(), values.begin(),
                           [](T value) { return static_cast<Accumulator<T>>(value); });
        else
            kernels::unpack_weights(packed(), values.data());
        return values;
    }

    const kernels::PackedWeights<T>& packed() const {
        if (contents_->packed.empty()) detail::throw_not_loaded(shape());
        return contents_->packed;
    }
    const Accumulator<T>* vector() const {
        if (contents_->vector.empty()) detail::throw_not_loaded(shape());
        return contents_->vector.data();
    }
    const CpuTensor<T>& tensor() const {
        if (contents_->tensor.empty()) detail::throw_not_loaded(shape());
        return contents_->tensor;
    }

protected:
    // Back to what it was made as, without values.
    void unload() { contents_ = std::make_shared<const Contents>(Contents{shape(), kind()}); }

private:
    struct Contents {
        Shape shape;
        ParameterKind kind;
        kernels::PackedWeights<T> packed = {};
        std::vector<Accumulator<T>> vector = {};
        CpuTensor<T> tensor = {};
    };
    std::shared_ptr<const Contents> contents_;
};

}  // namespace dalle2
