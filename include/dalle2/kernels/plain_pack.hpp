// Packing and unpacking of weights in plain loops, for every scalar type.
#pragma once

#include <algorithm>

#include <dalle2/kernels/packed_weights.hpp>

namespace dalle2::kernels::plain {

template <class T>
void pack(const PackSource<T>& source, T* to) {
    const PackedLayout<T>& layout = source.layout;
    std::fill_n(to, layout.size(), T(0));
    for (int64 o = 0; o < layout.out; ++o)
        for (int64 i = 0; i < layout.in; ++i)
            for (int64 y = 0; y < layout.kernel_height; ++y)
                for (int64 x = 0; x < layout.kernel_width; ++x)
                    to[layout.index(o, i, y, x)] =
                        static_cast<T>(source.w[source.offset(o, i, y, x)]);
}

template <class T>
void unpack(const PackedWeights<T>& packed, Accumulator<T>* w) {
    for (int64 o = 0; o < packed.out_channels(); ++o)
        for (int64 i = 0; i < packed.in_channels(); ++i)
            for (int64 y = 0; y < packed.kernel_height(); ++y)
                for (int64 x = 0; x < packed.kernel_width(); ++x)
                    *w++ = static_cast<Accumulator<T>>(
                        packed.data()[packed.layout().index(o, i, y, x)]);
}

}  // namespace dalle2::kernels::plain
