// Normalisations on vectors.
#pragma once

#include <algorithm>
#include <cmath>

#include <dalle2/kernels/simd.hpp>

namespace dalle2::kernels::fast {

// A group norm's pictures are cut into pieces of pixels, by a picture's size alone, and sums over
// pieces are added in order. (Small enough for many threads; small pictures stay whole.)
struct NormPieces {
    int64 pixels, count;  // of a piece, of a picture

    explicit NormPieces(const GroupNormShape& s) {
        const int64 most = std::max({int64{16}, 32768 / s.channels, s.pixels / 128});
        count = (s.pixels + most - 1) / most;
        pixels = (s.pixels + count - 1) / count;
        count = (s.pixels + pixels - 1) / pixels;
    }
    int64 size(const GroupNormShape& s, int64 piece) const {
        return std::min(pixels, s.pixels - piece * pixels);
    }
};

// For each picture: values per channel, `Rows` of them, and sums per channel of each piece.
struct NormScratch {
    int64 channels, pieces, rows;
    AlignedBuffer<float> buffer;

    NormScratch(const GroupNormShape& s, const NormPieces& p, int64 row_count)
        : channels((s.channels + 15) / 16 * 16),
          pieces(p.count),
          rows(row_count),
          buffer(s.batch * (row_count + 2 * p.count) * channels) {}
    float* row(int64 b, int64 i) const {
        return buffer.get() + (b * (rows + 2 * pieces) + i) * channels;
    }
    float* sums(int64 b, int64 piece) const { return row(b, rows + 2 * piece); }
    float* products(int64 b, int64 piece) const { return row(b, rows + 2 * piece + 1); }
};

// totals [groups] = the sums of all pieces of picture b, in double.
inline void add_pieces(const GroupNormShape& s, const NormScratch& scratch, int64 b,
                       double* totals) {
    const int64 width = s.channels / s.groups;
    std::fill_n(totals, s.groups, 0.0);
    for (int64 piece = 0; piece < scratch.pieces; ++piece) {
        const float* sums = scratch.sums(b, piece);
        for (int64 g = 0; g < s.groups; ++g)
            for (int64 c = 0; c < width; ++c) totals[g] += static_cast<double>(*sums++);
    }
}

template <class T>
void group_norm(const GroupNormShape& s, const T* x, const float* scale, const float* shift,
                const T* modulation, T* y, float* mean, float* inverse_deviation) {
    enum { center, factor, offset, rows };
    const VectorKernels<T> kernels = vector_kernels<T>();
    const NormPieces pieces(s);
    const NormScratch scratch(s, pieces, rows);
    const AlignedBuffer<double> totals(s.batch * s.groups);
    const int64 width = s.channels / s.groups;
    const double count = static_cast<double>(s.pixels * width);
    const auto at = [&](int64 b, int64 piece) {
        return (b * s.pixels + piece * pieces.pixels) * s.channels;
    };

    const auto add_up = [&](int64 b, int64 piece) {
        kernels.channel_sums(pieces.size(s, piece), s.channels, x + at(b, piece),
                             scratch.sums(b, piece));
    };
    const auto set_center = [&](int64 b) {
        const double* total = totals.get() + b * s.groups;
        add_pieces(s, scratch, b, totals.get() + b * s.groups);
        for (int64 g = 0; g < s.groups; ++g)
            std::fill_n(scratch.row(b, center) + g * width, width,
                        static_cast<float>(total[g] / count));
    };
    const auto add_squares = [&](int64 b, int64 piece) {
        kernels.channel_squares(pieces.size(s, piece), s.channels, x + at(b, piece),
                                scratch.row(b, center), scratch.sums(b, piece));
    };
    const auto set_affine = [&](int64 b) {
        const T* m = modulation ? modulation + b * 2 * s.channels : nullptr;
        const double* squares = totals.get() + b * s.groups;
        add_pieces(s, scratch, b, totals.get() + b * s.groups);
        for (int64 g = 0; g < s.groups; ++g) {
            const float middle = scratch.row(b, center)[g * width];
            const float inverse = static_cast<float>(1 / std::sqrt(squares[g] / count + s.epsilon));
            if (mean) mean[b * s.groups + g] = middle;
            if (inverse_deviation) inverse_deviation[b * s.groups + g] = inverse;
            for (int64 c = g * width; c < (g + 1) * width; ++c) {
                const float gain = m ? 1.0f + static_cast<float>(m[c]) : 1.0f;
                const float slope = inverse * scale[c];
                scratch.row(b, factor)[c] = slope * gain;
                scratch.row(b, offset)[c] = (shift[c] - middle * slope) * gain +
                                            (m ? static_cast<float>(m[s.channels + c]) : 0.0f);
            }
        }
    };
    const auto apply = [&](int64 b, int64 piece) {
        kernels.affine(s.activation, pieces.size(s, piece), s.channels, x + at(b, piece),
                       scratch.row(b, factor), scratch.row(b, offset), y + at(b, piece));
    };

    if (pieces.count == 1) {
        parallel_for(s.batch, [&](int64 b, int) {
            add_up(b, 0);
            set_center(b);
            add_squares(b, 0);
            set_affine(b);
            apply(b, 0);
        });
        return;
    }
    const auto each_piece = [&](const auto& body) {
        parallel_for(s.batch * pieces.count,
                     [&](int64 task, int) { body(task / pieces.count, task % pieces.count); });
    };
    each_piece(add_up);
    parallel_for(s.batch, [&](int64 b, int) { set_center(b); });
    each_piece(add_squares);
    parallel_for(s.batch, [&](int64 b, int) { set_affine(b); });
    each_piece(apply);
}

template <class T>
void group_norm_backward(const GroupNormShape& s, const T* x, const float* scale,
                         const float* shift, const T* modulation, const float* mean,
                         const float* inverse_deviation, const T* dy, T* dx, float* dscale,
                         float* dshift, T* dmodulation) {
    enum { center, factor, offset, of_dz, of_x, constant, rows };
    const VectorGradients<T> kernels = vector_gradients<T>();
    const NormPieces pieces(s);
    const NormScratch scratch(s, pieces, rows);
    const int64 width = s.channels / s.groups, piece_elements = pieces.pixels * s.channels;
    const AlignedBuffer<float> dz(piece_elements * thread_count());
    const float count = static_cast<float>(s.pixels * width);
    const auto at = [&](int64 b, int64 piece) {
        return (b * s.pixels + piece * pieces.pixels) * s.channels;
    };
    const auto gain_of = [&](int64 b, int64 c) {
        return modulation ? 1.0f + static_cast<float>(modulation[b * 2 * s.channels + c]) : 1.0f;
    };

    const auto prepare = [&](int64 b) {
        for (int64 c = 0; c < s.channels; ++c) {
            const int64 group = b * s.groups + c / width;
            const float slope = inverse_deviation[group] * scale[c], gain = gain_of(b, c);
            scratch.row(b, center)[c] = mean[group];
            scratch.row(b, factor)[c] = slope * gain;
            scratch.row(b, offset)[c] =
                (shift[c] - mean[group] * slope) * gain +
                (modulation ? static_cast<float>(modulation[(b * 2 + 1) * s.channels + c]) : 0.0f);
        }
    };
    const auto differentiate = [&](int64 b, int64 piece, int thread) {
        kernels.affine_backward(s.activation, NormPiece<T>{.pixels = pieces.size(s, piece),
                                                           .channels = s.channels,
                                                           .x = x + at(b, piece),
                                                           .dy = dy + at(b, piece),
                                                           .factor = scratch.row(b, factor),
                                                           .offset = scratch.row(b, offset),
                                                           .center = scratch.row(b, center),
                                                           .dz = dz.get() + thread * piece_elements,
                                                           .sums = scratch.sums(b, piece),
                                                           .products = scratch.products(b, piece)});
    };
    // The sums of all pieces are left in the first piece's rows: Σ dz and Σ dz·(normalised x).
    const auto combine = [&](int64 b) {
        float *sums = scratch.sums(b, 0), *products = scratch.products(b, 0);
        for (int64 g = 0; g < s.groups; ++g) {
            const float inverse = inverse_deviation[b * s.groups + g],
                        middle = mean[b * s.groups + g];
            double average = 0, correlation = 0;
            for (int64 c = g * width; c < (g + 1) * width; ++c) {
                for (int64 piece = 1; piece < pieces.count; ++piece) {
                    sums[c] += scratch.sums(b, piece)[c];
                    products[c] += scratch.products(b, piece)[c];
                }
                products[c] *= inverse;
                const float weight = gain_of(b, c) * scale[c];
                average += static_cast<double>(sums[c] * weight);
                correlation += static_cast<double>(products[c] * weight);
                if (dmodulation) {
                    T* dm = dmodulation + b * 2 * s.channels;
                    dm[c] = static_cast<T>(products[c] * scale[c] + sums[c] * shift[c]);
                    dm[s.channels + c] = static_cast<T>(sums[c]);
                }
            }
            for (int64 c = g * width; c < (g + 1) * width; ++c) {
                scratch.row(b, center)[c] = middle;
                scratch.row(b, of_dz)[c] = inverse * gain_of(b, c) * scale[c];
                scratch.row(b, of_x)[c] =
                    -inverse * inverse * static_cast<float>(correlation) / count;
                scratch.row(b, constant)[c] = -inverse * static_cast<float>(average) / count;
            }
        }
    };
    const auto apply = [&](int64 b, int64 piece, int thread) {
        kernels.norm_input_gradient(
            pieces.size(s, piece), s.channels, dz.get() + thread * piece_elements, x + at(b, piece),
            scratch.row(b, center), scratch.row(b, of_dz), scratch.row(b, of_x),
            scratch.row(b, constant), dx + at(b, piece));
    };

    if (pieces.count == 1) {
        parallel_for(s.batch, [&](int64 b, int thread) {
            prepare(b);
            differentiate(b, 0, thread);
            combine(b);
            apply(b, 0, thread);
        });
    } else {
        parallel_for(s.batch, [&](int64 b, int) { prepare(b); });
        parallel_for(s.batch * pieces.count, [&](int64 task, int thread) {
            differentiate(task / pieces.count, task % pieces.count, thread);
        });
        parallel_for(s.batch, [&](int64 b, int) { combine(b); });
        // dz again: keeping it would take a copy of the activations in float. Its sums go where
        // nobody reads.
        const AlignedBuffer<float> unused(2 * scratch.channels * thread_count());
        parallel_for(s.batch * pieces.count, [&](int64 task, int thread) {
            const int64 b = task / pieces.count, piece = task % pieces.count;
            kernels.affine_backward(
                s.activation,
                NormPiece<T>{.pixels = pieces.size(s, piece),
                             .channels = s.channels,
                             .x = x + at(b, piece),
                             .dy = dy + at(b, piece),
                             .factor = scratch.row(b, factor),
                             .offset = scratch.row(b, offset),
                             .center = scratch.row(b, center),
                             .dz = dz.get() + thread * piece_elements,
                             .sums = unused.get() + 2 * thread * scratch.channels,
                             .products = unused.get() + (2 * thread + 1) * scratch.channels});
            apply(b, piece, thread);
        });
    }
    for (int64 b = 0; b < s.batch; ++b)
        for (int64 c = 0; c < s.channels; ++c) {
            dscale[c] += scratch.products(b, 0)[c] * gain_of(b, c);
            dshift[c] += scratch.sums(b, 0)[c] * gain_of(b, c);
        }
}

template <class T>
void layer_norm(int64 rows, int64 width, double epsilon, const T* x, const float* scale,
                const float* shift, T* y, float* mean, float* inverse_deviation) {
    const VectorKernels<T> kernels = vector_kernels<T>();
    const int64 block = std::max<int64>(1, 16384 / width);
    parallel_for((rows + block - 1) / block, [&](int64 task, int) {
        const int64 first = task * block;
        kernels.layer_norm(std::min(block, rows - first), width, static_cast<float>(epsilon),
                           x + first * width, scale, shift, y + first * width,
                           mean ? mean + first : nullptr,
                           inverse_deviation ? inverse_deviation + first : nullptr);
    });
}

template <class T>
void layer_norm_backward(int64 rows, int64 width, const T* x, const float* scale, const float* mean,
                         const float* inverse_deviation, const T* dy, T* dx, float* dscale,
                         float* dshift) {
    const VectorGradients<T> kernels = vector_gradients<T>();
    const int64 block = std::max<int64>(32, (rows + 63) / 64), blocks = (rows + block - 1) / block;
    const AlignedBuffer<float> partial(2 * width * blocks);
    parallel_for(blocks, [&](int64 task, int) {
        const int64 first = task * block;
        kernels.layer_norm_backward(std::min(block, rows - first), width, x + first * width, scale,
                                    mean + first, inverse_deviation + first, dy + first * width,
                                    dx + first * width, partial.get() + 2 * task * width,
                                    partial.get() + (2 * task + 1) * width);
    });
    for (int64 task = 0; task < blocks; ++task)
        for (int64 c = 0; c < width; ++c) {
            dscale[c] += partial.get()[2 * task * width + c];
            dshift[c] += partial.get()[(2 * task + 1) * width + c];
        }
}

}  // namespace dalle2::kernels::fast
