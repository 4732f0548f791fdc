// The loop of every diffusion here: from noise, step by step, to a clean sample.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <dalle2/core/array.hpp>
#include <dalle2/core/random.hpp>
#include <dalle2/diffusion/guidance.hpp>
#include <dalle2/diffusion/sampler.hpp>

namespace dalle2 {

// A step of a run, for those who predict, watch or stop it.
struct DenoisingStep {
    std::int64_t index, count;  // 0 … count - 1
    std::int64_t timestep;
};

// Replaces `sample`, noise at first, by a clean sample in `steps` steps.
// `predict(sample, DenoisingStep)` → ModelPrediction runs the network. `draw_noise()` → Array gives
// standard normals in the shape of the sample and is called once for each step that needs them.
template <Sampler S, class Predict, class DrawNoise>
void denoise(S& sampler, std::int64_t steps, Array& sample, Predict&& predict,
             DrawNoise&& draw_noise) {
    const std::vector<std::int64_t> timesteps = sampler.timesteps(steps);
    for (std::size_t i = 0; i < timesteps.size(); ++i) {
        const std::int64_t timestep = timesteps[i];
        const std::int64_t previous = i + 1 < timesteps.size() ? timesteps[i + 1] : -1;
        const ModelPrediction model =
            predict(std::as_const(sample),
                    DenoisingStep{static_cast<std::int64_t>(i),
                                  static_cast<std::int64_t>(timesteps.size()), timestep});
        Array noise = make_array({0});
        if (sampler.draws_noise(timestep, previous)) noise = draw_noise();
        const std::span<float> values(sample.data(), sample.size());
        sampler.step({.timestep = timestep,
                      .previous_timestep = previous,
                      .sample = values,
                      .prediction = model.prediction_values(),
                      .variance_fraction = model.variance_values(),
                      .noise = {noise.data(), noise.size()}},
                     values);
    }
}

// Standard normals [batch, height, width, channels], drawn in the order of the public pipelines,
// which keep the channels before the rows.
inline Array normal_pictures(TorchGenerator& generator, const Shape& shape) {
    const Array planes =
        generator.normal(Shape{shape.at(0), shape.at(3), shape.at(1), shape.at(2)});
    Array pictures = make_array(shape);
    float* to = pictures.data();
    for (std::int64_t b = 0; b < shape[0]; ++b)
        for (std::int64_t y = 0; y < shape[1]; ++y)
            for (std::int64_t x = 0; x < shape[2]; ++x)
                for (std::int64_t c = 0; c < shape[3]; ++c)
                    *to++ = planes.data()[((b * shape[3] + c) * shape[1] + y) * shape[2] + x];
    return pictures;
}

}  // namespace dalle2
