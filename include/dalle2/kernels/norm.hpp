// Normalisations on vectors.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>

#include <dalle2/kernels/moments.hpp>
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

// The mean and the variance of each group of some pieces of a picture, joined as Chan, Golub and
// LeVeque do (1983, "Algorithms for computing the sample variance"): each piece has its sums, and
// squares about its own mean.
struct GroupMoments {
    double mean, variance;
};
inline GroupMoments join_pieces(const GroupNormShape& s, const NormPieces& pieces,
                                const NormScratch& scratch, int64 b, int64 group) {
    const int64 width = s.channels / s.groups;
    const auto total = [&](const float* sums) {
        return std::accumulate(sums + group * width, sums + (group + 1) * width, 0.0);
    };
    const double count = static_cast<double>(s.pixels * width);
    GroupMoments moments{};
    for (int64 piece = 0; piece < pieces.count; ++piece)
        moments.mean += total(scratch.sums(b, piece)) / count;
    for (int64 piece = 0; piece < pieces.count; ++piece) {
        const double part = static_cast<double>(pieces.size(s, piece) * width);
        const double distance = total(scratch.sums(b, piece)) / part - moments.mean;
        moments.variance +=
            (total(scratch.products(b, piece)) + part * distance * distance) / count;
    }
    return moments;
}

// The same from what is known of each channel.
inline GroupMoments join_channels(const GroupNormShape& s, const ChannelMoments& known, int64 b,
                                  int64 group) {
    const int64 width = s.channels / s.groups, first = group * width;
    const double count = static_cast<double>(width);
    GroupMoments moments{};
    for (int64 c = first; c < first + width; ++c)
        moments.mean += static_cast<double>(known.means(b)[c]) / count;
    for (int64 c = first; c < first + width; ++c) {
        const double distance = static_cast<double>(known.means(b)[c]) - moments.mean;
        moments.variance +=
            (static_cast<double>(known.variances(b)[c]) + distance * distance) / count;
    }
    return moments;
}

// Where the moments of x are not known, they are found first. The extremes of each picture of y are
// given where they are wanted, that is not null.
template <class T>
void group_norm(const GroupNormShape& s, const T* x, const float* scale, const float* shift,
                const T* modulation, T* y, float* mean, float* inverse_deviation,
                const ChannelMoments& known, Extremes* extremes) {
    enum { factor, offset, rows };
    const VectorKernels<T> kernels = vector_kernels<T>();
    const NormPieces pieces(s);
    const NormScratch scratch(s, pieces, rows);
    const AlignedBuffer<float> centers(scratch.channels * thread_count());
    const int64 width = s.channels / s.groups;
    const auto at = [&](int64 b, int64 piece) {
        return (b * s.pixels + piece * pieces.pixels) * s.channels;
    };

    // (Twice through a piece that is in a cache, once through the picture.)
    const auto measure = [&](int64 b, int64 piece, int thread) {
        const int64 pixels = pieces.size(s, piece);
        const float* sums = scratch.sums(b, piece);
        float* center = centers.get() + thread * scratch.channels;
        kernels.channel_sums(pixels, s.channels, x + at(b, piece), scratch.sums(b, piece));
        for (int64 c = 0; c < s.channels; c += width)
            std::fill_n(center + c, width,
                        static_cast<float>(std::accumulate(sums + c, sums + c + width, 0.0) /
                                           static_cast<double>(pixels * width)));
        kernels.channel_squares(pixels, s.channels, x + at(b, piece), center,
                                scratch.products(b, piece));
    };
    const auto set_affine = [&](int64 b) {
        const T* m = modulation ? modulation + b * 2 * s.channels : nullptr;
        for (int64 g = 0; g < s.groups; ++g) {
            const GroupMoments moments = known.empty() ? join_pieces(s, pieces, scratch, b, g)
                                                       : join_channels(s, known, b, g);
            const float middle = static_cast<float>(moments.mean);
            const float inverse = static_cast<float>(1 / std::sqrt(moments.variance + s.epsilon));
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
    AlignedBuffer<Extremes> of_pieces;
    if (extremes) of_pieces = AlignedBuffer<Extremes>(s.batch * pieces.count);
    const auto apply = [&](int64 b, int64 piece) {
        kernels.affine(s.activation, pieces.size(s, piece), s.channels, x + at(b, piece),
                       scratch.row(b, factor), scratch.row(b, offset), y + at(b, piece));
        // (Of what is still in a cache.)
        if constexpr (std::is_same_v<T, bfloat16>)
            if (extremes)
                of_pieces.get()[b * pieces.count + piece] = vector_kernels<std::int8_t>().extremes(
                    pieces.size(s, piece) * s.channels, y + at(b, piece));
    };

    if (pieces.count == 1) {
        parallel_for(s.batch, [&](int64 b, int thread) {
            if (known.empty()) measure(b, 0, thread);
            set_affine(b);
            apply(b, 0);
        });
        if (extremes) std::copy_n(of_pieces.get(), s.batch, extremes);
        return;
    }
    const int64 tasks = s.batch * pieces.count;
    if (known.empty())
        parallel_for(tasks, [&](int64 task, int thread) {
            measure(task / pieces.count, task % pieces.count, thread);
        });
    parallel_for(s.batch, [&](int64 b, int) { set_affine(b); });
    parallel_for(tasks, [&](int64 task, int) { apply(task / pieces.count, task % pieces.count); });
    if (extremes)
        for (int64 b = 0; b < s.batch; ++b)
            extremes[b] = joined(of_pieces.get() + b * pieces.count, pieces.count);
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
