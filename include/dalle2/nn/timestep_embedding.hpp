// The sinusoidal embedding of a diffusion timestep and the small network behind it.
#pragma once

#include <cmath>
#include <numbers>
#include <span>

#include <dalle2/nn/layers.hpp>

namespace dalle2 {

struct SinusoidOptions {
    bool flip_sin_to_cos = true;  // cosines first
    double freq_shift = 0;        // the last frequency is 10000^(-(half - 1) / (half - shift))
};

// [timesteps, width]; an odd width ends in a zero. Attention Is All You Need, section 3.5.
inline Array sinusoidal_embedding(std::span<const double> timesteps, std::int64_t width,
                                  SinusoidOptions options = {}) {
    const std::int64_t half = width / 2;
    Array result = make_array({static_cast<std::int64_t>(timesteps.size()), width});
    for (std::size_t row = 0; row < timesteps.size(); ++row) {
        for (std::int64_t i = 0; i < half; ++i) {
            const double exponent = -std::log(10000.0) * static_cast<double>(i) /
                                    (static_cast<double>(half) - options.freq_shift);
            // The reference computes angles in single precision.
            const float angle =
                static_cast<float>(timesteps[row]) * static_cast<float>(std::exp(exponent));
            const std::int64_t cosine = options.flip_sin_to_cos ? i : half + i;
            const std::int64_t sine = options.flip_sin_to_cos ? half + i : i;
            result(row, cosine) = std::cos(angle);
            result(row, sine) = std::sin(angle);
        }
    }
    return result;
}

// [batch, sinusoid width] → [batch, width]: linear, SiLU, linear.
template <Engine E>
struct TimestepEmbedding {
    Linear<E> linear_1, linear_2;

    TimestepEmbedding(std::int64_t in, std::int64_t width)
        : linear_1(in, width), linear_2(width, width) {}

    typename E::Tensor operator()(const typename E::Tensor& sinusoid) const {
        return linear_2(linear_1(sinusoid, Activation::silu));
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("linear_1", self.linear_1);
        visitor("linear_2", self.linear_2);
    }
};

}  // namespace dalle2
