// Weights of linear layers and convolutions in the order in which the kernels read them.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include <dalle2/core/bfloat16.hpp>
#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/kernels/parallel.hpp>

namespace dalle2::kernels {

// Outputs are stored sixteen at a time: a panel.
inline constexpr int64 panel_width = 16;

// How many neighbouring inputs stand together: a dot product of bfloat16 takes pairs, one of int8
// takes fours.
template <class T>
inline constexpr int64 pair_size = std::is_same_v<T, bfloat16>      ? 2
                                   : std::is_same_v<T, std::int8_t> ? 4
                                                                    : 1;

// An uninitialised block of T, 64-byte aligned, that frees itself: of the BufferPool in whose scope
// it is made, so that what a kernel needs for a moment costs nothing after the first time.
template <class T>
class AlignedBuffer {
public:
    AlignedBuffer() = default;
    explicit AlignedBuffer(int64 count) : data_(BufferPool::allocate_array<T>(count)) {}
    T* get() const { return data_.get(); }
    const std::shared_ptr<T>& shared() const { return data_; }

private:
    std::shared_ptr<T> data_;
};

// Where a weight [out, in, y, x] is in the packed order. A row of the kernel meets kernel_width·in
// neighbouring elements of a channels-last picture, so they are stored as one run:
//     [panel of 16 outputs][kernel row][run / pair][16 outputs][pair]
// padded with zeros to whole panels and pairs.
template <class T>
struct PackedLayout {
    int64 out = 0, in = 0, kernel_height = 1, kernel_width = 1;

    int64 panels() const { return (out + panel_width - 1) / panel_width; }
    // Elements of one kernel row, padded to whole pairs.
    int64 run() const {
        return (kernel_width * in + pair_size<T> - 1) / pair_size<T> * pair_size<T>;
    }
    int64 row_stride() const { return run() * panel_width; }
    int64 panel_stride() const { return kernel_height * row_stride(); }
    int64 size() const { return panels() * panel_stride(); }

    int64 index(int64 o, int64 i, int64 y, int64 x) const {
        const int64 r = x * in + i;
        return o / panel_width * panel_stride() + y * row_stride() +
               r / pair_size<T> * panel_width * pair_size<T> + o % panel_width * pair_size<T> +
               r % pair_size<T>;
    }
};

// Of a weight [out, in] or [out, in, kernel_height, kernel_width].
template <class T>
PackedLayout<T> packed_layout(const std::vector<int64>& shape) {
    const bool convolution = shape.size() == 4;
    return {shape[0], shape[1], convolution ? shape[2] : 1, convolution ? shape[3] : 1};
}

// Weights row-major [out, in, kernel_height, kernel_width], to be packed as they are or transposed:
// then inputs and outputs of the layout are exchanged and the kernel is mirrored.
template <class T>
struct PackSource {
    const Accumulator<T>* w;
    PackedLayout<T> layout;
    bool transposed;

    // Transposed, whole weights are packed some inputs at a time, which are rows in memory: outputs
    // would be columns, of which each row has a line or a few.
    static constexpr int64 inputs_at_once = 16, most_taps_by_inputs = 9;
    bool by_inputs() const {
        return transposed && layout.out % panel_width == 0 && layout.in % inputs_at_once == 0 &&
               taps() <= most_taps_by_inputs;
    }
    int64 tasks() const { return by_inputs() ? layout.in / inputs_at_once : layout.panels(); }

    int64 taps() const { return layout.kernel_height * layout.kernel_width; }
    int64 out_stride() const { return transposed ? taps() : layout.in * taps(); }
    int64 in_stride() const { return transposed ? layout.out * taps() : taps(); }
    int64 offset(int64 o, int64 i, int64 y, int64 x) const {
        const int64 tap = y * layout.kernel_width + x;
        return o * out_stride() + i * in_stride() + (transposed ? taps() - 1 - tap : tap);
    }
};

// Weights of a linear layer or a convolution, packed: immutable, and cheap to copy.
template <class T>
class PackedWeights {
public:
    PackedWeights() = default;
    // data: layout.size() elements, 64-byte aligned.
    PackedWeights(const PackedLayout<T>& layout, std::shared_ptr<const T> data)
        : layout_(layout), data_(std::move(data)) {}
    PackedWeights(const PackedLayout<T>& layout, const AlignedBuffer<T>& data)
        : PackedWeights(layout, data.shared()) {}

    int64 out_channels() const { return layout_.out; }
    int64 in_channels() const { return layout_.in; }
    int64 kernel_height() const { return layout_.kernel_height; }
    int64 kernel_width() const { return layout_.kernel_width; }
    const PackedLayout<T>& layout() const { return layout_; }
    int64 bytes() const { return layout_.size() * static_cast<int64>(sizeof(T)); }
    const T* data() const { return data_.get(); }
    bool empty() const { return data_ == nullptr; }

private:
    PackedLayout<T> layout_;
    std::shared_ptr<const T> data_;
};

}  // namespace dalle2::kernels
