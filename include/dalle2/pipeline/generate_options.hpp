// What a caller may say about one call of a pipeline.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include <dalle2/core/array.hpp>
#include <dalle2/core/random.hpp>
#include <dalle2/pipeline/encoded_text.hpp>

namespace dalle2 {

enum class Stage { prior, decoder, super_resolution };

inline std::string to_string(Stage stage) {
    switch (stage) {
        case Stage::prior: return "prior";
        case Stage::decoder: return "decoder";
        case Stage::super_resolution: return "super-resolution";
    }
    return "unknown";
}

struct GenerateProgress {
    Stage stage;
    std::int64_t step, steps;  // steps done, of all steps of this stage
    const Array& sample;       // what the stage has by now, still noisy until step equals steps
};

// How a model wants to be run when the caller says nothing: the defaults of the public pipelines,
// or what the model's generation_config.json says.
struct GenerationDefaults {
    std::int64_t prior_steps = 25, decoder_steps = 25, super_resolution_steps = 7;
    double prior_guidance_scale = 4.0, decoder_guidance_scale = 8.0;

    bool operator==(const GenerationDefaults&) const = default;
};

struct GenerateOptions {
    // Belongs to the call: same seed and settings, same bytes, for any number of threads. As in
    // PyTorch, its lower 32 bits count.
    std::uint64_t seed = 0;
    // As what the seed's noise is drawn: float32 whatever the engine, unless the picture should be
    // that of a public pipeline loaded with another torch_dtype.
    NoiseType noise = NoiseType::f32;
    // 1 to 1000; what is not given is the model's own default.
    std::optional<std::int64_t> prior_steps = {}, decoder_steps = {}, super_resolution_steps = {};
    // Any finite number; 1 means no guidance, and half the work.
    std::optional<double> prior_guidance_scale = {}, decoder_guidance_scale = {};
    // 1 to 1024, of this call alone: calls that run at once have each its own, together no more
    // than they ask for. 0: as many as there are cores (or as OMP_NUM_THREADS says). Inside a
    // parallel region of the application it is the thread that calls. Which cores they run on is
    // the environment's affair: OMP_PLACES and OMP_PROC_BIND, numactl.
    int threads = 0;
    Padding padding = Padding::trim;
    // Called from the calling thread, before the first step of each stage and after each step.
    std::function<void(const GenerateProgress&)> progress = {};
    // Request a stop from any thread: the call throws Cancelled before its next layer.
    std::stop_token stop = {};
};

}  // namespace dalle2
