// Packing of weights on vectors.
#pragma once

#include <dalle2/kernels/plain_pack.hpp>
#include <dalle2/kernels/simd.hpp>

namespace dalle2::kernels::fast {

template <class T>
void pack(const PackSource<T>& source, T* to) {
    const auto task = vector_kernels<T>().pack_task;
    parallel_for(source.layout.panels(), [&](int64 panel, int) { task(source, to, panel); });
}

}  // namespace dalle2::kernels::fast
