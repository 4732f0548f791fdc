// The loop that all stages share: noise in, a clean sample out, with guidance, progress and a way
// to stop.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/array.hpp>
#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/core/finite.hpp>
#include <dalle2/diffusion/denoise.hpp>
#include <dalle2/diffusion/guidance.hpp>
#include <dalle2/diffusion/sampler.hpp>
#include <dalle2/engine/profile.hpp>

namespace dalle2 {

struct SamplingOptions {
    std::int64_t steps = 25;
    // How far beyond the unconditional prediction to go. At exactly 1 the unconditional half of
    // the work is not done.
    double guidance_scale = 1.0;
    // Called before the first step and after each: (steps done, steps, the sample then).
    std::function<void(std::int64_t, std::int64_t, const Array&)> on_step = {};
    // Looked at before each step; Cancelled is thrown when a stop was requested.
    std::stop_token stop = {};
};

// Throws ConfigError unless there are 1 to 1000 steps and a finite guidance scale; `stage` names
// them in the message.
inline void check_sampling_options(const SamplingOptions& options, const std::string& stage) {
    if (options.steps < 1 || options.steps > 1000)
        throw ConfigError(stage + ": " + std::to_string(options.steps) +
                          " steps; expected 1 to 1000");
    if (!std::isfinite(options.guidance_scale))
        throw ConfigError(stage + ": the guidance scale is " +
                          std::to_string(options.guidance_scale) +
                          "; expected a finite number, for example 4");
}

namespace detail {

// x [batch, ...] → [2·batch, ...].
inline Array twice(const Array& x) {
    Shape shape = shape_of(x);
    shape.at(0) *= 2;
    Array both = make_array(shape);
    std::copy(x.begin(), x.end(), both.data());
    std::copy(x.begin(), x.end(), both.data() + x.size());
    return both;
}

// Predicts for a batch x in one step; with guidance the unconditional half comes first, twice as
// large as the sample.
using Network = std::function<Array(const Array& x, const DenoisingStep& step)>;
using DrawNoise = std::function<Array()>;

// Takes the noise `sample` to a clean one. Throws NumericError, naming `stage` and the step, as
// soon as the network gives what is no number. (Not a template of the network, so that the loop is
// compiled once and not once for each stage and engine.)
template <Sampler S>
Array run_diffusion(const std::string& stage, S sampler, Array sample,
                    const SamplingOptions& options, const Network& network,
                    const DrawNoise& draw_noise) {
    const bool guided = options.guidance_scale != 1.0;
    std::int64_t done = 0;
    const auto report = [&](std::int64_t count) {
        if (options.on_step) options.on_step(done, count, sample);
    };
    denoise(
        sampler, options.steps, sample,
        [&](const Array& x, const DenoisingStep& step) {
            done = step.index;
            report(step.count);
            const ProfileRegion region("step", step.index + 1);
            if (options.stop.stop_requested()) throw Cancelled();
            const std::int64_t channels = shape_of(x).back();
            const Array output = network(guided ? twice(x) : x, step);
            check_finite(output, stage + ", step " + std::to_string(step.index + 1) + " of " +
                                     std::to_string(step.count));
            return guided ? guided_prediction(output, channels, options.guidance_scale)
                          : split_prediction(output, channels);
        },
        draw_noise);
    report(++done);
    return sample;
}

}  // namespace detail

}  // namespace dalle2
