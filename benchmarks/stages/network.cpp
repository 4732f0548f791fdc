#include "network.hpp"

#include <random>
#include <utility>

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

template <Engine E>
NamedArrays run_module(const ClipTextEncoder<E>& network, const NamedArrays& inputs) {
    const Array& ids = input(inputs, "input_ids");
    const Shape shape = shape_of(ids);
    const auto output = network(TokenBatch{shape.at(0), shape.at(1), whole_numbers(ids), {}});
    return {{"text_embedding", E::to_array(output.text_embedding)},
            {"hidden_states", E::to_array(output.hidden_states)}};
}
template <Engine E>
NamedArrays run_module(const ClipImageEncoder<E>& network, const NamedArrays& inputs) {
    return {{"image_embedding", E::to_array(network(E::from_array(input(inputs, "pictures"))))}};
}
template <Engine E>
NamedArrays run_module(const PriorTransformer<E>& network, const NamedArrays& inputs) {
    const Array& sample = input(inputs, "sample");
    return {{"output", E::to_array(network(E::from_array(sample), timesteps(sample),
                                           E::from_array(input(inputs, "text_embedding")),
                                           E::from_array(input(inputs, "text_states")),
                                           whole_numbers(input(inputs, "mask"))))}};
}
template <Engine E>
NamedArrays run_module(const TextProjection<E>& network, const NamedArrays& inputs) {
    const auto condition = network(E::from_array(input(inputs, "image_embedding")),
                                   E::from_array(input(inputs, "text_embedding")),
                                   E::from_array(input(inputs, "text_states")));
    return {{"context", E::to_array(condition.context)}, {"time", E::to_array(condition.time)}};
}
template <Engine E>
NamedArrays run_module(const UNet<E>& network, const NamedArrays& inputs) {
    const Array& sample = input(inputs, "sample");
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
    NamedArrays run(const NamedArrays& inputs) const override {
        return run_module(module_, inputs);
    }

private:
    Module module_;
};

// (The engine is a parameter once more because clang 16 does not survive Module<E> here.)
template <template <Engine> class Module, Engine E>
std::unique_ptr<Network> load(const ModelDirectory& directory, const std::string& component) {
    return std::make_unique<LoadedNetwork<Module<E>>>(
        load_component<Module, E>(directory, component));
}

}  // namespace

std::unique_ptr<Network> load_network(const ModelDirectory& directory, const std::string& component,
                                      EngineKind engine) {
    return on_engine(engine, [&]<Engine E>(std::type_identity<E>) -> std::unique_ptr<Network> {
        if (component == "text_encoder") return load<ClipTextEncoder, E>(directory, component);
        if (component == "image_encoder") return load<ClipImageEncoder, E>(directory, component);
        if (component == "prior") return load<PriorTransformer, E>(directory, component);
        if (component == "text_proj") return load<TextProjection, E>(directory, component);
        if (component == "decoder" || component.starts_with("super_res_"))
            return load<UNet, E>(directory, component);
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
    const auto plan = [&](const auto& module, NamedArrays inputs, const auto& cost_of) {
        return RunPlan{batch, std::move(inputs), cost_of(tokens), cost_of(longest).multiply_adds(),
                       parameter_count(module)};
    };
    if (component == "text_encoder") {
        Array ids = make_array({batch, tokens});
        std::uniform_int_distribution<std::int64_t> id(0, text.vocab_size - 1);
        for (float& value : ids) value = static_cast<float>(id(generator));
        return plan(
            ClipTextEncoder<Trace>(text), {{"input_ids", std::move(ids)}},
            [&](std::int64_t n) { return trace_text_encoder(text, batch, n, bytes_per_element); });
    }
    if (component == "image_encoder") {
        const auto config = load_config<ClipImageConfig>(directory, component);
        return plan(
            ClipImageEncoder<Trace>(config),
            {{"pictures", random({batch, config.image_size, config.image_size, 3})}},
            [&](std::int64_t) { return trace_image_encoder(config, batch, bytes_per_element); });
    }
    if (component == "prior") {
        const auto config = load_config<PriorConfig>(directory, component);
        const std::int64_t width = config.embedding_dim;
        return plan(
            PriorTransformer<Trace>(config),
            {{"sample", random({batch, width})},
             {"text_embedding", random({batch, width})},
             {"text_states", random({batch, tokens, width})},
             {"mask", make_array({batch, tokens}, 1.0f)}},
            [&](std::int64_t n) { return trace_prior(config, batch, n, bytes_per_element); });
    }
    const auto projection = load_config<TextProjectionConfig>(directory, "text_proj");
    if (component == "text_proj") {
        const std::int64_t width = projection.clip_embeddings_dim;
        return plan(TextProjection<Trace>(projection),
                    {{"image_embedding", random({batch, width})},
                     {"text_embedding", random({batch, width})},
                     {"text_states", random({batch, tokens, width})}},
                    [&](std::int64_t n) {
                        return trace_text_projection(projection, batch, n, bytes_per_element);
                    });
    }
    const auto config = load_config<UNetConfig>(directory, component);
    const std::int64_t extra = projection.clip_extra_context_tokens;
    NamedArrays inputs = {
        {"sample", random({batch, config.sample_size, config.sample_size, config.in_channels})}};
    if (config.context_width > 0) {
        inputs["added_time"] = random({batch, added_time_width(config)});
        inputs["context"] = random({batch, tokens + extra, config.context_width});
        inputs["mask"] = make_array({batch, tokens + extra}, 1.0f);
    }
    return plan(UNet<Trace>(config), std::move(inputs), [&](std::int64_t n) {
        return trace_unet(config, batch, config.sample_size, n + extra, bytes_per_element);
    });
}

}  // namespace stages_benchmark
