// Which layers of a model take int8 weights, by a measurement: the model draws a few pictures, and
// each layer is judged by what int8 makes of the inputs that it meets.
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include <dalle2/core/random.hpp>
#include <dalle2/core/stop_scope.hpp>
#include <dalle2/engine/int8_calibration.hpp>
#include <dalle2/pipeline/part_loader.hpp>

namespace dalle2 {

struct CalibrationOptions {
    std::string variant = "";
    // A layer whose output in int8 has less signal to noise than this stays in bfloat16.
    double least_decibels = 34;
    std::int64_t steps = 2;  // of each stage
    // Told what happens: a network is loaded, a step of a stage is done.
    std::function<void(const std::string&)> on_component = nullptr;
    std::function<void(const std::string& stage, std::int64_t step, std::int64_t steps)> on_step =
        nullptr;
    std::stop_token stop = {};
};

// Of one network.
struct Int8Choice {
    std::set<std::string> weights;  // those that become int8
    std::int64_t candidates = 0;    // weights that could
    // Of the measured run, of layers that could take int8.
    double all_multiply_adds = 0, int8_multiply_adds = 0;
    double least_decibels = HUGE_VAL;  // of those that become int8
};

namespace detail {

// Colours that change across the picture, with an edge: for an image encoder to look at.
inline Picture calibration_picture() {
    Picture picture{64, 64, std::vector<std::uint8_t>(64 * 64 * 3)};
    for (std::size_t i = 0; i < picture.rgb.size(); ++i) {
        const std::size_t y = i / 192, x = i / 3 % 64, channel = i % 3;
        const std::size_t value = channel == 0 ? 4 * x : channel == 1 ? 4 * y : 2 * (x + y);
        const bool disc = (x - 32) * (x - 32) + (y - 32) * (y - 32) < 300;
        picture.rgb[i] = static_cast<std::uint8_t>(disc ? 255 - value : value);
    }
    return picture;
}

// Runs every network that the model has, each in memory only while it runs.
inline void run_calibration(const PartLoader<Int8Calibration>& parts,
                            const CalibrationOptions& options) {
    const StopScope stopping(options.stop);
    TorchGenerator generator(1);
    const auto stage = [&](const std::string& name, double guidance) {
        SamplingOptions result = {
            .steps = options.steps, .guidance_scale = guidance, .stop = options.stop};
        result.on_step = [&options, name](std::int64_t step, std::int64_t steps, const Array&) {
            if (options.on_step) options.on_step(name, step, steps);
        };
        return result;
    };
    const GenerationDefaults& defaults = parts.configs.defaults;
    const ClipTokenizer tokenizer = parts.tokenizer();
    const std::vector<std::string> prompts = {"a red apple on a blue background",
                                              "a painting of a fox in the snow"};
    EncodedText text, unconditional;
    {
        const auto encoder = parts.text_encoder();
        text = encode_text(encoder, token_batch(tokenizer, prompts));
        unconditional = encode_text(encoder, token_batch(tokenizer, {""}));
    }
    Array embedding;
    if (parts.directory.has("image_encoder") && parts.directory.has("feature_extractor"))
        embedding = encode_pictures(parts.picture_encoder(),
                                    {calibration_picture(), calibration_picture()});
    if (parts.directory.has("prior"))
        embedding = parts.prior().sample(text, unconditional, generator,
                                         stage("prior", defaults.prior_guidance_scale));
    const Array small = parts.decoder().sample(embedding, text, unconditional, generator,
                                               stage("decoder", defaults.decoder_guidance_scale));
    (void)parts.upsampler().sample(small, generator, stage("super-resolution", 1.0));
}

}  // namespace detail

// The choice for each network of a model directory that was run, by the name of its component.
// Throws as PartLoader does, and Cancelled.
inline std::map<std::string, Int8Choice> calibrate_int8(const std::filesystem::path& path,
                                                        const CalibrationOptions& options = {}) {
    Int8CalibrationLog log;
    const Int8CalibrationLog::Scope scope(log);
    LoadOptions load;
    load.variant = options.variant;
    load.on_component = [&](const std::string& component) {
        log.begin(component);
        if (options.on_component) options.on_component(component);
    };
    detail::run_calibration(PartLoader<Int8Calibration>(path, load), options);

    std::map<std::string, Int8Choice> choices;
    for (const auto& [component, layers] : log.layers()) {
        Int8Choice& choice = choices[component];
        for (const auto& [name, measured] : layers) {
            const auto work = static_cast<double>(measured->multiply_adds);
            ++choice.candidates;
            choice.all_multiply_adds += work;
            // A layer that was not run was not measured.
            if (work == 0 || !(measured->decibels >= options.least_decibels)) continue;
            choice.weights.insert(name);
            choice.int8_multiply_adds += work;
            choice.least_decibels = std::min(choice.least_decibels, measured->decibels);
        }
    }
    return choices;
}

}  // namespace dalle2
