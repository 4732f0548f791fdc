// Packing of weights on vectors.
#pragma once

#include <dalle2/kernels/plain_pack.hpp>
#include <dalle2/kernels/simd.hpp>

namespace dalle2::kernels::fast {

template <class T>
void pack(const PackSource<T>& source, T* to) {
    const auto task = vector_kernels<T>().pack_task;
    parallel_for(source.tasks(), [&](int64 i, int) { task(source, to, i); });
}

}  // namespace dalle2::kernels::fast
