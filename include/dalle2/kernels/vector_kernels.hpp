// The tables of functions that one instruction set's vector code fills: what the drivers of kernels
// call.
#pragma once

#include <cstdint>

#include <dalle2/core/activation.hpp>
#include <dalle2/core/bfloat16.hpp>
#include <dalle2/kernels/adamw_step.hpp>
#include <dalle2/kernels/attention_plan.hpp>
#include <dalle2/kernels/conv_plan.hpp>
#include <dalle2/kernels/norm_piece.hpp>
#include <dalle2/kernels/packed_weights.hpp>
#include <dalle2/kernels/shapes.hpp>
#include <dalle2/kernels/weight_plan.hpp>
#include <dalle2/kernels/winograd_plan.hpp>

namespace dalle2::kernels {

// The functions of one instruction set for T = float or bfloat16 that generation needs.
template <class T>
struct VectorKernels {
    int64 factor_size;  // bytes of what x is when it meets weights of type T
    int64 whole_rows;   // so many rows are whole calls of all micro-kernels
    int64 chunk;        // of a sum: see ConvPlan
    bool has_tiles;
    int64 block_bytes;                     // see ConvPlan
    int64 winograd_bytes, winograd_tiles;  // of a block: see WinogradPlan
    void (*conv_task)(const ConvPlan<T>&, int64 task, char* scratch);
    void (*winograd_task)(const WinogradPlan<T>&, int64 task, char* scratch);
    // Element-wise, over n elements or rows of n.
    void (*activate)(Activation, int64 n, const T* x, T* y);
    void (*add)(int64 n, const T* a, const T* b, T* y);
    void (*add_rows)(int64 rows, int64 n, const T* a, const T* b, T* y);
    void (*scale)(int64 n, float factor, const T* x, T* y);
    void (*sum_quads)(int64 columns, int64 n, float factor, const T* upper, const T* lower, T* y);
    void (*from_float)(int64 n, const float* x, T* y);
    void (*to_float)(int64 n, const T* x, float* y);
    // Normalisations.
    void (*channel_sums)(int64 pixels, int64 channels, const T* x, float* sums);
    void (*channel_squares)(int64 pixels, int64 channels, const T* x, const float* center,
                            float* sums);
    void (*affine)(Activation, int64 pixels, int64 channels, const T* x, const float* factor,
                   const float* offset, T* y);
    void (*layer_norm)(int64 rows, int64 width, float epsilon, const T* x, const float* factor,
                       const float* shift, T* y, float* mean, float* inverse_deviation);
    // Attention.
    void (*attention_task)(const AttentionPlan<T>&, int64 task, char* scratch);
    // Weights.
    void (*pack_task)(const PackSource<T>&, T* to, int64 task);
};

// And those that training needs besides: apart, so that a program which only generates does not
// pay for their compilation.
template <class T>
struct VectorGradients {
    int64 columns_at_once, channels_together;  // see WeightPlan
    int64 least_panels_together;  // so many panels of outputs, for channels to stand together
    void (*activate_backward)(Activation, int64 n, const T* x, const T* dy, T* dx);
    void (*sum_rows)(int64 rows, int64 stride, int64 n, const T* x, T* y);
    void (*spread_pairs)(int64 columns, int64 n, float factor, const T* x, T* y);
    void (*affine_backward)(Activation, const NormPiece<T>&);
    void (*norm_input_gradient)(int64 pixels, int64 channels, const float* dz, const T* x,
                                const float* center, const float* a, const float* b, const float* c,
                                T* dx);
    void (*layer_norm_backward)(int64 rows, int64 width, const T* x, const float* factor,
                                const float* mean, const float* inverse_deviation, const T* dy,
                                T* dx, float* dscale, float* dshift);
    void (*attention_backward_task)(const AttentionPlan<T>&, int64 task, char* scratch);
    void (*weight_pack_task)(const WeightPlan<T>&, int64 task);
    void (*weight_multiply_task)(const WeightPlan<T>&, int64 task, float* sums);
    // The optimiser, of floats whatever T is.
    double (*sum_of_squares)(int64 n, const float* x);
    void (*adamw)(const AdamwStep<float>&, int64 n, const float* gradient,
                  const AdamwState<float>&);
};

// Of bfloat16, with weights that are stored as int8.
using Int8WinogradTask = void (*)(const WinogradPlan<bfloat16, std::int8_t>&, int64 task,
                                  char* scratch);

// Those of int8 weights, whose inputs and outputs are bfloat16.
template <>
struct VectorKernels<std::int8_t> {
    int64 factor_size, chunk;
    bool has_tiles;
    void (*conv_task)(const ConvPlan<std::int8_t>&, int64 task, char* scratch);
    Extremes (*extremes)(int64 n, const bfloat16* x);
    void (*pack_task)(const float* w, const PackedLayout<std::int8_t>&, int64 panel,
                      std::int8_t* to, float* scales, std::int32_t* sums);
};

}  // namespace dalle2::kernels
