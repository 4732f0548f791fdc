// The residual block of the UNets (diffusers' ResnetBlock2D; the ADM block of Dhariwal & Nichol
// 2021).
#pragma once

#include <optional>

#include <dalle2/nn/layers.hpp>

namespace dalle2 {

enum class Resample { none, down, up };
// How the time embedding enters: added before the second norm, or as its scale and shift.
enum class TimeConditioning { add, scale_shift };

struct ResnetBlockOptions {
    std::int64_t in_channels, out_channels, time_width;
    std::int64_t groups = 32;
    double epsilon = 1e-5;
    TimeConditioning conditioning = TimeConditioning::add;
    Resample resample = Resample::none;
};

template <Engine E>
struct ResnetBlock {
    using Tensor = typename E::Tensor;

    TimeConditioning conditioning;
    Resample resample;
    GroupNorm<E> norm1;
    Conv2d<E> conv1;
    Linear<E> time_emb_proj;
    GroupNorm<E> norm2;
    Conv2d<E> conv2;
    std::optional<Conv2d<E>> conv_shortcut;

    explicit ResnetBlock(const ResnetBlockOptions& o)
        : conditioning(o.conditioning),
          resample(o.resample),
          norm1(o.in_channels, {o.groups, o.epsilon, Activation::silu}),
          conv1(o.in_channels, o.out_channels, 3, {.padding = 1}),
          time_emb_proj(o.time_width, conditioning == TimeConditioning::scale_shift
                                          ? 2 * o.out_channels
                                          : o.out_channels),
          norm2(o.out_channels, {o.groups, o.epsilon, Activation::silu}),
          conv2(o.out_channels, o.out_channels, 3, {.padding = 1}) {
        if (o.in_channels != o.out_channels)
            conv_shortcut.emplace(o.in_channels, o.out_channels, 1, Conv2dOptions{});
    }

    // time [rows, time width], already through its activation → [rows, condition width]. Knows
    // nothing of the picture, so that it can be made for all steps at once.
    Tensor prepare(const Tensor& time) const { return time_emb_proj(time); }

    // x [batch, height, width, in], the prepared time [batch, condition width]
    // → [batch, height', width', out].
    Tensor operator()(const Tensor& x, const Tensor& time) const {
        Tensor h = resampled(norm1(x));
        h = conditioning == TimeConditioning::add ? norm2(conv1(h, &time)) : norm2(conv1(h), &time);
        Tensor shortcut = resampled(x);
        if (conv_shortcut) shortcut = (*conv_shortcut)(shortcut);
        return conv2(h, &shortcut);
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("norm1", self.norm1);
        visitor("conv1", self.conv1);
        visitor("time_emb_proj", self.time_emb_proj);
        visitor("norm2", self.norm2);
        visitor("conv2", self.conv2);
        visitor("conv_shortcut", self.conv_shortcut);
    }

private:
    Tensor resampled(const Tensor& x) const {
        switch (resample) {
            case Resample::down: return E::average_pool2(x);
            case Resample::up: return E::upsample_nearest2(x);
            case Resample::none: break;
        }
        return x;
    }
};

}  // namespace dalle2
