// Activations and normalisations in plain loops, for every scalar type.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include <dalle2/core/bfloat16.hpp>
#include <dalle2/kernels/shapes.hpp>

namespace dalle2::kernels::plain {

template <class A>
A activate(Activation kind, A x) {
    switch (kind) {
        case Activation::silu: return x / (A(1) + std::exp(-x));
        case Activation::quick_gelu: return x / (A(1) + std::exp(A(-1.702) * x));
        case Activation::gelu: return A(0.5) * x * (A(1) + std::erf(x * A(0.70710678118654752440)));
        case Activation::none: break;
    }
    return x;
}

template <class A>
A activation_derivative(Activation kind, A x) {
    switch (kind) {
        case Activation::silu:
        case Activation::quick_gelu: {
            const A slope = kind == Activation::silu ? A(1) : A(1.702);
            const A sigmoid = A(1) / (A(1) + std::exp(-slope * x));
            return sigmoid * (A(1) + slope * x * (A(1) - sigmoid));
        }
        case Activation::gelu:
            return A(0.5) * (A(1) + std::erf(x * A(0.70710678118654752440))) +
                   x * A(0.39894228040143267794) * std::exp(A(-0.5) * x * x);
        case Activation::none: break;
    }
    return A(1);
}

template <class T>
void group_norm(const GroupNormShape& s, const T* x, const Accumulator<T>* scale,
                const Accumulator<T>* shift, const T* modulation, T* y, Accumulator<T>* mean,
                Accumulator<T>* inverse_deviation) {
    using Acc = Accumulator<T>;
    const int64 width = s.channels / s.groups;
    parallel_for(s.batch * s.groups, [&](int64 task, int) {
        const int64 b = task / s.groups, first = task % s.groups * width;
        const T* from = x + b * s.pixels * s.channels;
        T* to = y + b * s.pixels * s.channels;
        const T* m = modulation ? modulation + b * 2 * s.channels : nullptr;
        double sum = 0, squares = 0;
        for (int64 p = 0; p < s.pixels; ++p)
            for (int64 c = first; c < first + width; ++c)
                sum += static_cast<double>(from[p * s.channels + c]);
        const double count = static_cast<double>(s.pixels * width), center = sum / count;
        for (int64 p = 0; p < s.pixels; ++p)
            for (int64 c = first; c < first + width; ++c) {
                const double d = static_cast<double>(from[p * s.channels + c]) - center;
                squares += d * d;
            }
        const Acc mu = static_cast<Acc>(center),
                  inverse = static_cast<Acc>(1 / std::sqrt(squares / count + s.epsilon));
        if (mean) mean[task] = mu;
        if (inverse_deviation) inverse_deviation[task] = inverse;
        for (int64 p = 0; p < s.pixels; ++p)
            for (int64 c = first; c < first + width; ++c) {
                Acc z = (static_cast<Acc>(from[p * s.channels + c]) - mu) * inverse * scale[c] +
                        shift[c];
                if (m)
                    z = z * (Acc(1) + static_cast<Acc>(m[c])) + static_cast<Acc>(m[s.channels + c]);
                to[p * s.channels + c] = static_cast<T>(activate(s.activation, z));
            }
    });
}

template <class T>
void group_norm_backward(const GroupNormShape& s, const T* x, const Accumulator<T>* scale,
                         const Accumulator<T>* shift, const T* modulation,
                         const Accumulator<T>* mean, const Accumulator<T>* inverse_deviation,
                         const T* dy, T* dx, Accumulator<T>* dscale, Accumulator<T>* dshift,
                         T* dmodulation) {
    using Acc = Accumulator<T>;
    const int64 width = s.channels / s.groups;
    // Per picture first, then summed in order, so that the sum does not depend on the threads.
    std::vector<Acc> partial(static_cast<std::size_t>(s.batch * s.channels * 2));
    parallel_for(s.batch * s.groups, [&](int64 task, int) {
        const int64 b = task / s.groups, first = task % s.groups * width;
        const T* m = modulation ? modulation + b * 2 * s.channels : nullptr;
        const Acc mu = mean[task], inverse = inverse_deviation[task];
        double sum = 0, product = 0;
        for (int pass = 0; pass < 2; ++pass)
            for (int64 c = first; c < first + width; ++c) {
                const Acc gain = m ? Acc(1) + static_cast<Acc>(m[c]) : Acc(1);
                double dz_sum = 0, dz_normalized = 0;
                for (int64 p = 0; p < s.pixels; ++p) {
                    const int64 at = (b * s.pixels + p) * s.channels + c;
                    const Acc normalized = (static_cast<Acc>(x[at]) - mu) * inverse;
                    const Acc z = (normalized * scale[c] + shift[c]) * gain +
                                  (m ? static_cast<Acc>(m[s.channels + c]) : Acc(0));
                    const Acc dz =
                        static_cast<Acc>(dy[at]) * activation_derivative(s.activation, z);
                    const Acc dnormalized = dz * gain * scale[c];
                    if (pass == 0) {
                        dz_sum += static_cast<double>(dz);
                        dz_normalized += static_cast<double>(dz * normalized);
                        sum += static_cast<double>(dnormalized);
                        product += static_cast<double>(dnormalized * normalized);
                    } else {
                        const double count = static_cast<double>(s.pixels * width);
                        dx[at] = static_cast<T>(inverse *
                                                (dnormalized - static_cast<Acc>(sum / count) -
                                                 normalized * static_cast<Acc>(product / count)));
                    }
                }
                if (pass == 1) continue;
                const auto slot = static_cast<std::size_t>((b * s.channels + c) * 2);
                partial[slot] = static_cast<Acc>(dz_normalized) * gain;
                partial[slot + 1] = static_cast<Acc>(dz_sum) * gain;
                if (dmodulation) {
                    T* dm = dmodulation + b * 2 * s.channels;
                    dm[c] = static_cast<T>(static_cast<Acc>(dz_normalized) * scale[c] +
                                           static_cast<Acc>(dz_sum) * shift[c]);
                    dm[s.channels + c] = static_cast<T>(static_cast<Acc>(dz_sum));
                }
            }
    });
    for (int64 b = 0; b < s.batch; ++b)
        for (int64 c = 0; c < s.channels; ++c) {
            const auto slot = static_cast<std::size_t>((b * s.channels + c) * 2);
            dscale[c] += partial[slot];
            dshift[c] += partial[slot + 1];
        }
}

template <class T>
void layer_norm(int64 rows, int64 width, double epsilon, const T* x, const Accumulator<T>* scale,
                const Accumulator<T>* shift, T* y, Accumulator<T>* mean,
                Accumulator<T>* inverse_deviation) {
    using Acc = Accumulator<T>;
    parallel_for(rows, [&](int64 row, int) {
        const T* from = x + row * width;
        double sum = 0, squares = 0;
        for (int64 c = 0; c < width; ++c) sum += static_cast<double>(from[c]);
        const double center = sum / static_cast<double>(width);
        for (int64 c = 0; c < width; ++c) {
            const double d = static_cast<double>(from[c]) - center;
            squares += d * d;
        }
        const Acc mu = static_cast<Acc>(center);
        const Acc inverse =
            static_cast<Acc>(1 / std::sqrt(squares / static_cast<double>(width) + epsilon));
        if (mean) mean[row] = mu;
        if (inverse_deviation) inverse_deviation[row] = inverse;
        for (int64 c = 0; c < width; ++c)
            y[row * width + c] =
                static_cast<T>((static_cast<Acc>(from[c]) - mu) * inverse * scale[c] + shift[c]);
    });
}

template <class T>
void layer_norm_backward(int64 rows, int64 width, const T* x, const Accumulator<T>* scale,
                         const Accumulator<T>* mean, const Accumulator<T>* inverse_deviation,
                         const T* dy, T* dx, Accumulator<T>* dscale, Accumulator<T>* dshift) {
    using Acc = Accumulator<T>;
    parallel_for(rows, [&](int64 row, int) {
        Acc sum = 0, product = 0;
        for (int64 c = 0; c < width; ++c) {
            const Acc normalized =
                (static_cast<Acc>(x[row * width + c]) - mean[row]) * inverse_deviation[row];
            const Acc d = static_cast<Acc>(dy[row * width + c]) * scale[c];
            sum += d;
            product += d * normalized;
        }
        sum /= static_cast<Acc>(width);
        product /= static_cast<Acc>(width);
        for (int64 c = 0; c < width; ++c) {
            const Acc normalized =
                (static_cast<Acc>(x[row * width + c]) - mean[row]) * inverse_deviation[row];
            dx[row * width + c] = static_cast<T>(
                inverse_deviation[row] *
                (static_cast<Acc>(dy[row * width + c]) * scale[c] - sum - normalized * product));
        }
    });
    parallel_for((width + 15) / 16, [&](int64 block, int) {
        for (int64 c = block * 16; c < width && c < block * 16 + 16; ++c) {
            Acc scales = 0, shifts = 0;
            for (int64 row = 0; row < rows; ++row) {
                const Acc d = static_cast<Acc>(dy[row * width + c]);
                scales +=
                    d * (static_cast<Acc>(x[row * width + c]) - mean[row]) * inverse_deviation[row];
                shifts += d;
            }
            dscale[c] += scales;
            dshift[c] += shifts;
        }
    });
}

}  // namespace dalle2::kernels::plain
