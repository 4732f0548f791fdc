#include "network.hpp"

#include <optional>
#include <random>
#include <utility>

#include <dalle2/decoder/unet_times.hpp>
#include <dalle2/engine/on_engine.hpp>
#include <dalle2/pipeline/component.hpp>
#include <dalle2/pipeline/model_configs.hpp>
#include <dalle2/pipeline/model_cost.hpp>

namespace stages_benchmark {

namespace {

constexpr double timestep = 487;  // any one costs the same

const Array& input(const NamedArrays& inputs, const std::string& name) {
    const auto found = inputs.find(name);
    if (found == inputs.end()) throw ConfigError("the input \"" + name + "\" is missing");
    return found->second;
}

std::vector<std::int32_t> whole_numbers(const Array& values) {
    return {values.begin(), values.end()};
}

std::vector<double> timesteps(const Array& sample) {
    return std::vector<double>(sample.shape()[0], timestep);
}

// What is made once for all steps: nothing, where a network runs once.
template <class Module>
struct Prepared {
    Prepared(const Module&, const NamedArrays&, std::int64_t) {}
};
template <Engine E>
struct Prepared<PriorTransformer<E>> {
    PreparedText<E> text;
    typename E::Tensor times;

    Prepared(const PriorTransformer<E>& network, const NamedArrays& inputs, std::int64_t steps)
        : text(network.prepare(E::from_array(input(inputs, "text_embedding")),
                               E::from_array(input(inputs, "text_states")),
                               whole_numbers(input(inputs, "mask")))),
          times(network.prepare(std::vector<double>(static_cast<std::size_t>(steps), timestep))) {}
};
template <Engine E>
struct Prepared<UNet<E>> {
    PreparedContext<E> context;
    PreparedTime<E> time;

    Prepared(const UNet<E>& network, const NamedArrays& inputs, std::int64_t steps) {
        const Shape shape = shape_of(input(inputs, "sample"));
        const std::vector<std::int64_t> timesteps(static_cast<std::size_t>(steps),
                                                  static_cast<std::int64_t>(timestep));
        if (network.config.context_width == 0) {
            time = UNetTimes<E>(network, timesteps, shape.at(0)).at(0);
            return;
        }
        const auto tokens = E::from_array(input(inputs, "context"));
        const std::vector<std::int32_t> keep = whole_numbers(input(inputs, "mask"));
        context = network.prepare({.tokens = &tokens, .keep = keep}, shape.at(1), shape.at(2));
        const auto added_time = E::from_array(input(inputs, "added_time"));
        time = UNetTimes<E>(network, timesteps, shape.at(0), &added_time).at(0);
    }
};

template <Engine E>
NamedArrays run_module(const ClipTextEncoder<E>& network, const NamedArrays& inputs,
                       const Prepared<ClipTextEncoder<E>>*) {
    const Array& ids = input(inputs, "input_ids");
    const Shape shape = shape_of(ids);
    const TokenBatch text{shape.at(0), shape.at(1), whole_numbers(ids), {}};
    // Pictures need the states of all tokens too, an embedding alone takes less.
    if (!inputs.contains("with_states"))
        return {{"text_embedding", E::to_array(network.embedding(text))}};
    const auto output = network(text);
    return {{"text_embedding", E::to_array(output.text_embedding)},
            {"hidden_states", E::to_array(output.hidden_states)}};
}
template <Engine E>
NamedArrays run_module(const ClipImageEncoder<E>& network, const NamedArrays& inputs,
                       const Prepared<ClipImageEncoder<E>>*) {
    return {{"image_embedding", E::to_array(network(E::from_array(input(inputs, "pictures"))))}};
}
template <Engine E>
NamedArrays run_module(const TextProjection<E>& network, const NamedArrays& inputs,
                       const Prepared<TextProjection<E>>*) {
    const auto condition = network(E::from_array(input(inputs, "image_embedding")),
                                   E::from_array(input(inputs, "text_embedding")),
                                   E::from_array(input(inputs, "text_states")));
    return {{"context", E::to_array(condition.context)}, {"time", E::to_array(condition.time)}};
}
// Null: everything in one.
template <Engine E>
NamedArrays run_module(const PriorTransformer<E>& network, const NamedArrays& inputs,
                       const Prepared<PriorTransformer<E>>* prepared) {
    const Array& sample = input(inputs, "sample");
    if (!prepared)
        return {{"output", E::to_array(network(E::from_array(sample), timesteps(sample),
                                               E::from_array(input(inputs, "text_embedding")),
                                               E::from_array(input(inputs, "text_states")),
                                               whole_numbers(input(inputs, "mask"))))}};
    const auto time = E::repeat(E::slice(prepared->times, 0, 0, 1), shape_of(sample).at(0));
    return {{"output", E::to_array(network(E::from_array(sample), time, prepared->text))}};
}
template <Engine E>
NamedArrays run_module(const UNet<E>& network, const NamedArrays& inputs,
                       const Prepared<UNet<E>>* prepared) {
    const Array& sample = input(inputs, "sample");
    if (prepared)
        return {{"output",
                 E::to_array(network(E::from_array(sample), prepared->time, prepared->context))}};
    if (network.config.context_width == 0)
        return {{"output", E::to_array(network(E::from_array(sample), timesteps(sample)))}};
    const auto time = E::from_array(input(inputs, "added_time"));
    const auto context = E::from_array(input(inputs, "context"));
    const std::vector<std::int32_t> keep = whole_numbers(input(inputs, "mask"));
    return {{"output", E::to_array(network(E::from_array(sample), timesteps(sample), &time,
                                           {.tokens = &context, .keep = keep}))}};
}

template <class Module>
class LoadedNetwork : public Network {
public:
    explicit LoadedNetwork(Module module) : module_(std::move(module)) {}
    void prepare(const NamedArrays& inputs, std::int64_t steps) override {
        inputs_ = inputs;
        prepared_.emplace(module_, inputs_, steps);
    }
    NamedArrays run(bool whole) const override {
        if (!prepared_) throw ConfigError("a network has no inputs yet");
        return run_module(module_, inputs_, whole ? nullptr : &*prepared_);
    }

private:
    Module module_;
    NamedArrays inputs_;
    std::optional<Prepared<Module>> prepared_;
};

// (The engine is a parameter once more because clang 16 does not survive Module<E> here.)
template <template <Engine> class Module, Engine E>
std::unique_ptr<Network> load_as(const ModelDirectory& directory, const std::string& component) {
    return std::make_unique<LoadedNetwork<Module<E>>>(
        load_component<Module, E>(directory, component));
}

}  // namespace

std::unique_ptr<Network> load_network(const ModelDirectory& directory, const std::string& component,
                                      EngineKind engine) {
    return on_engine(engine, [&]<Engine E>(std::type_identity<E>) -> std::unique_ptr<Network> {
        if (component == "text_encoder") return load_as<ClipTextEncoder, E>(directory, component);
        if (component == "image_encoder") return load_as<ClipImageEncoder, E>(directory, component);
        if (component == "prior") return load_as<PriorTransformer, E>(directory, component);
        if (component == "text_proj") return load_as<TextProjection, E>(directory, component);
        if (component == "decoder" || component.starts_with("super_res_"))
            return load_as<UNet, E>(directory, component);
        throw ConfigError("there is no network \"" + component + "\"");
    });
}

RunPlan plan_run(const ModelDirectory& directory, const std::string& component, const RunSize& size,
                 std::int64_t bytes_per_element) {
    std::mt19937 generator(7);
    const auto random = [&](const Shape& shape) {
        std::normal_distribution<float> normal;
        Array values = make_array(shape);
        for (float& value : values) value = normal(generator);
        return values;
    };
    const GenerationDefaults settings = load_generation_defaults(directory.path());
    const bool guided = component == "prior"
                            ? settings.prior_guidance_scale != 1.0
                            : (component == "text_proj" || component == "decoder") &&
                                  settings.decoder_guidance_scale != 1.0;
    const std::int64_t batch = size.batch > 0 ? size.batch : guided ? 2 : 1;
    const auto text = load_config<ClipTextConfig>(directory, "text_encoder");
    const std::int64_t longest = text.max_position_embeddings;
    const std::int64_t tokens = size.tokens > 0 ? std::min(size.tokens, longest) : longest;
    const auto plan = [&](const auto& module, std::int64_t steps, NamedArrays inputs, TraceLog cost,
                          std::int64_t untrimmed) {
        const bool reads_text = inputs.contains("input_ids") || inputs.contains("text_states") ||
                                inputs.contains("context");
        return RunPlan{.batch = batch,
                       .steps = steps,
                       .tokens = reads_text ? tokens : 0,
                       .inputs = std::move(inputs),
                       .cost = std::move(cost),
                       .untrimmed = untrimmed,
                       .parameters = parameter_count(module)};
    };
    const std::int64_t bytes = bytes_per_element;
    if (component == "text_encoder") {
        Array ids = make_array({batch, tokens});
        std::uniform_int_distribution<std::int64_t> id(0, text.vocab_size - 1);
        for (float& value : ids) value = static_cast<float>(id(generator));
        return plan(ClipTextEncoder<Trace>(text), 1,
                    {{"input_ids", std::move(ids)}, {"with_states", make_array({1})}},
                    trace_text_encoder(text, batch, tokens, bytes),
                    trace_text_encoder(text, batch, longest).multiply_adds());
    }
    if (component == "image_encoder") {
        const auto config = load_config<ClipImageConfig>(directory, component);
        TraceLog cost = trace_image_encoder(config, batch, bytes);
        const std::int64_t multiply_adds = cost.multiply_adds();
        return plan(ClipImageEncoder<Trace>(config), 1,
                    {{"pictures", random({batch, config.image_size, config.image_size, 3})}},
                    std::move(cost), multiply_adds);
    }
    if (component == "prior") {
        const auto config = load_config<PriorConfig>(directory, component);
        const std::int64_t width = config.embedding_dim, steps = settings.prior_steps;
        return plan(PriorTransformer<Trace>(config), steps,
                    {{"sample", random({batch, width})},
                     {"text_embedding", random({batch, width})},
                     {"text_states", random({batch, tokens, width})},
                     {"mask", make_array({batch, tokens}, 1.0f)}},
                    size.whole ? trace_prior(config, batch, tokens, bytes)
                               : trace_prior_steps(config, steps, batch, tokens, bytes).step,
                    trace_prior(config, batch, longest).multiply_adds());
    }
    const auto projection = load_config<TextProjectionConfig>(directory, "text_proj");
    if (component == "text_proj") {
        const std::int64_t width = projection.clip_embeddings_dim;
        return plan(TextProjection<Trace>(projection), 1,
                    {{"image_embedding", random({batch, width})},
                     {"text_embedding", random({batch, width})},
                     {"text_states", random({batch, tokens, width})}},
                    trace_text_projection(projection, batch, tokens, bytes),
                    trace_text_projection(projection, batch, longest).multiply_adds());
    }
    const auto config = load_config<UNetConfig>(directory, component);
    const std::int64_t extra = projection.clip_extra_context_tokens, side = config.sample_size;
    const std::int64_t last = directory.has("super_res_last") ? 1 : 0;
    const std::int64_t steps = component == "decoder" ? settings.decoder_steps
                               : component == "super_res_last"
                                   ? 1
                                   : settings.super_resolution_steps - last;
    NamedArrays inputs = {{"sample", random({batch, side, side, config.in_channels})}};
    if (config.context_width > 0) {
        inputs["added_time"] = random({batch, added_time_width(config)});
        inputs["context"] = random({batch, tokens + extra, config.context_width});
        inputs["mask"] = make_array({batch, tokens + extra}, 1.0f);
    }
    return plan(UNet<Trace>(config), steps, std::move(inputs),
                size.whole ? trace_unet(config, batch, side, tokens + extra, bytes)
                           : trace_unet_steps(config, steps, batch, tokens + extra, bytes).step,
                trace_unet(config, batch, side, longest + extra).multiply_adds());
}

}  // namespace stages_benchmark
