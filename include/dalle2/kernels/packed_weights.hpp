// Weights of linear layers and convolutions in the order in which the kernels read them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

#include <dalle2/core/bfloat16.hpp>
#include <dalle2/kernels/parallel.hpp>

namespace dalle2::kernels {

// Outputs are stored sixteen at a time: a panel.
inline constexpr int64 panel_width = 16;

// How many neighbouring inputs stand together: a bfloat16 dot product takes pairs.
template <class T>
inline constexpr int64 pair_size = std::is_same_v<T, bfloat16> ? 2 : 1;

// An uninitialised block of T, 64-byte aligned, that frees itself.
template <class T>
class AlignedBuffer {
public:
    AlignedBuffer() = default;
    explicit AlignedBuffer(int64 count)
        : data_(static_cast<T*>(::operator new(static_cast<std::size_t>(std::max<int64>(count, 1)) * sizeof(T),
                                               std::align_val_t{64}))) {}
    T* get() const { return data_.get(); }

private:
    struct Free {
        void operator()(T* p) const { ::operator delete(p, std::align_val_t{64}); }
    };
    std::unique_ptr<T, Free> data_;
};

// An immutable copy of weights [out, in, kernel_height, kernel_width], cheap to copy. A row of the kernel
// meets kernel_width·in neighbouring elements of a channels-last picture, so they are stored as one run:
//     [panel of 16 outputs][kernel row][run / pair][16 outputs][pair]
// padded with zeros to whole panels and pairs.
template <class T>
class PackedWeights {
public:
    PackedWeights() = default;
    PackedWeights(int64 out, int64 in, int64 kernel_height, int64 kernel_width)
        : out_(out), in_(in), kernel_height_(kernel_height), kernel_width_(kernel_width) {
        AlignedBuffer<T> buffer(panels() * panel_stride());
        std::fill_n(buffer.get(), panels() * panel_stride(), T(0));
        data_ = std::make_shared<const AlignedBuffer<T>>(std::move(buffer));
    }

    int64 out_channels() const { return out_; }
    int64 in_channels() const { return in_; }
    int64 kernel_height() const { return kernel_height_; }
    int64 kernel_width() const { return kernel_width_; }

    int64 panels() const { return (out_ + panel_width - 1) / panel_width; }
    // Elements of one kernel row, padded to whole pairs.
    int64 run() const { return (kernel_width_ * in_ + pair_size<T> - 1) / pair_size<T> * pair_size<T>; }
    int64 row_stride() const { return run() * panel_width; }
    int64 panel_stride() const { return kernel_height_ * row_stride(); }
    int64 bytes() const { return panels() * panel_stride() * static_cast<int64>(sizeof(T)); }
    const T* data() const { return data_ ? data_->get() : nullptr; }
    bool empty() const { return data_ == nullptr; }

    // Where weight [out, in, y, x] is.
    int64 index(int64 out, int64 in, int64 y, int64 x) const {
        const int64 r = x * in_ + in;
        return out / panel_width * panel_stride() + y * row_stride() + r / pair_size<T> * panel_width * pair_size<T> +
               out % panel_width * pair_size<T> + r % pair_size<T>;
    }

private:
    template <class U>
    friend PackedWeights<U> pack_weights(const Accumulator<U>*, int64, int64, int64, int64);
    template <class U>
    friend PackedWeights<U> pack_weights_transposed(const Accumulator<U>*, int64, int64, int64, int64);

    T* writable() { return data_->get(); }

    int64 out_ = 0, in_ = 0, kernel_height_ = 1, kernel_width_ = 1;
    std::shared_ptr<const AlignedBuffer<T>> data_;
};

// Packs w [out, in, kernel_height, kernel_width].
template <class T>
PackedWeights<T> pack_weights(const Accumulator<T>* w, int64 out, int64 in, int64 kernel_height, int64 kernel_width) {
    PackedWeights<T> packed(out, in, kernel_height, kernel_width);
    T* to = packed.writable();
    parallel_for(packed.panels(), [&](int64 panel, int) {
        for (int64 o = panel * panel_width; o < std::min(out, (panel + 1) * panel_width); ++o)
            for (int64 i = 0; i < in; ++i)
                for (int64 y = 0; y < kernel_height; ++y)
                    for (int64 x = 0; x < kernel_width; ++x)
                        to[packed.index(o, i, y, x)] =
                            static_cast<T>(w[((o * in + i) * kernel_height + y) * kernel_width + x]);
    });
    return packed;
}

// Packs the weights of the input gradient: inputs and outputs exchanged, the kernel mirrored.
template <class T>
PackedWeights<T> pack_weights_transposed(const Accumulator<T>* w, int64 out, int64 in, int64 kernel_height,
                                         int64 kernel_width) {
    PackedWeights<T> packed(in, out, kernel_height, kernel_width);
    T* to = packed.writable();
    parallel_for(packed.panels(), [&](int64 panel, int) {
        const int64 end = std::min(in, (panel + 1) * panel_width);
        for (int64 o = 0; o < out; ++o)
            for (int64 i = panel * panel_width; i < end; ++i)
                for (int64 y = 0; y < kernel_height; ++y)
                    for (int64 x = 0; x < kernel_width; ++x)
                        to[packed.index(i, o, kernel_height - 1 - y, kernel_width - 1 - x)] =
                            static_cast<T>(w[((o * in + i) * kernel_height + y) * kernel_width + x]);
    });
    return packed;
}

// The inverse of pack_weights.
template <class T>
void unpack_weights(const PackedWeights<T>& packed, Accumulator<T>* w) {
    for (int64 o = 0; o < packed.out_channels(); ++o)
        for (int64 i = 0; i < packed.in_channels(); ++i)
            for (int64 y = 0; y < packed.kernel_height(); ++y)
                for (int64 x = 0; x < packed.kernel_width(); ++x)
                    *w++ = static_cast<Accumulator<T>>(packed.data()[packed.index(o, i, y, x)]);
}

}  // namespace dalle2::kernels
