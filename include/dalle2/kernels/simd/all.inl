// Every kernel family, written once over the vectors of the namespace that includes it.
#include <dalle2/kernels/simd/gemm.inl>
#include <dalle2/kernels/simd/weight_gradient.inl>

template <class T>
VectorKernels<T> table() {
    return {.conv_task = conv_task<T>,
            .weight_pack_task = weight_pack_task<T>,
            .weight_multiply_task = weight_multiply_task<T>,
            .weight_finish_task = weight_finish_task<T>};
}
