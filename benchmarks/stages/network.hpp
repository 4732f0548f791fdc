// A network of a model directory whose kind and engine are known at run time: named inputs in,
// named outputs out, and what a run costs.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <dalle2/engine/engine_kind.hpp>
#include <dalle2/engine/trace.hpp>
#include <dalle2/io/model_directory.hpp>

namespace stages_benchmark {

using namespace dalle2;

// Pictures are [batch, height, width, channels]; ids and masks are whole numbers.
using NamedArrays = std::map<std::string, Array>;

inline const std::vector<std::string> all_networks = {
    "text_encoder", "image_encoder",   "prior",         "text_proj",
    "decoder",      "super_res_first", "super_res_last"};

class Network {
public:
    virtual ~Network() = default;
    // Keeps the inputs, and makes what a pipeline makes of them once for so many steps.
    virtual void prepare(const NamedArrays& inputs, std::int64_t steps) = 0;
    // One step; or the network with everything in one, nothing of it made before.
    virtual NamedArrays run(bool whole) const = 0;
};

// Throws ConfigError for a name that is none of all_networks, and as load_component.
std::unique_ptr<Network> load_network(const ModelDirectory& directory, const std::string& component,
                                      EngineKind engine);

// How a network is run: batch 0 is what one picture at the model's own settings needs; tokens 0, as
// many text tokens as the model has room for.
struct RunSize {
    std::int64_t batch = 0, tokens = 0;
    bool whole = false;  // everything in one, not a step of many
};

struct RunPlan {
    std::int64_t batch = 0, steps = 1;  // of a picture at the model's own settings
    std::int64_t tokens = 0;            // of text; 0 for a network that sees none
    NamedArrays inputs;                 // random
    TraceLog cost;                      // of one run
    std::int64_t
        untrimmed;  // the multiply-adds of everything in one, with all the text there can be
    std::int64_t parameters;
};

RunPlan plan_run(const ModelDirectory& directory, const std::string& component, const RunSize& size,
                 std::int64_t bytes_per_element);

}  // namespace stages_benchmark
