// What the vector code of the group norm's gradient takes.
#pragma once

#include <dalle2/kernels/parallel.hpp>

namespace dalle2::kernels {

// Some pixels of one picture: x, dy, dz [pixels, channels], the rest [channels].
template <class T>
struct NormPiece {
    int64 pixels, channels;
    const T* x;
    const T* dy;
    const float *factor, *offset, *center;
    float *dz, *sums, *products;
};

}  // namespace dalle2::kernels
