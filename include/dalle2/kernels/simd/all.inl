// Every kernel family, written once over the vectors of the namespace that includes it.
#include <dalle2/kernels/simd/gemm.inl>

template <class T>
VectorKernels<T> table() {
    return {.conv_task = conv_task<T>};
}
