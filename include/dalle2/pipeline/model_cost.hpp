// What the networks of a model directory are and cost, from their configs alone: each is run once
// on the Trace engine.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/engine/trace.hpp>
#include <dalle2/nn/visit.hpp>
#include <dalle2/pipeline/component.hpp>
#include <dalle2/pipeline/generate_options.hpp>

namespace dalle2 {

struct ComponentCost {
    std::string component;    // as the directory calls it
    std::int64_t parameters;  // trained values
    std::int64_t runs;        // for one picture
    TraceLog log;             // of one run

    std::int64_t multiply_adds() const { return runs * log.multiply_adds(); }
};

struct ModelCostOptions {
    GenerationDefaults settings = {};
    std::int64_t tokens = 0;  // of the prompt, padding included; 0: as many as there can be
    std::int64_t bytes_per_element = 4;  // 2 for bfloat16
};

// In the order in which a picture meets them. Throws IoError, FormatError, ConfigError.
inline std::vector<ComponentCost> model_cost(const ModelDirectory& directory,
                                             const ModelCostOptions& options = {}) {
    const GenerationDefaults& settings = options.settings;
    const auto text_config = load_config<ClipTextConfig>(directory, "text_encoder");
    const auto prior_config = load_config<PriorConfig>(directory, "prior");
    const auto projection_config = load_config<TextProjectionConfig>(directory, "text_proj");
    const auto decoder_config = load_config<UNetConfig>(directory, "decoder");
    const std::int64_t tokens =
        options.tokens > 0 ? options.tokens : text_config.max_position_embeddings;
    const std::int64_t prior_batch = settings.prior_guidance_scale == 1.0 ? 1 : 2;
    const std::int64_t decoder_batch = settings.decoder_guidance_scale == 1.0 ? 1 : 2;

    std::vector<ComponentCost> costs;
    const auto run = [&](const std::string& component, const auto& module, std::int64_t runs,
                         const auto& forward) {
        ComponentCost cost = {component, parameter_count(module), runs,
                              TraceLog(options.bytes_per_element)};
        const TraceLog::Scope scope(cost.log);
        forward(module);
        costs.push_back(std::move(cost));
    };
    const auto times = [](std::int64_t batch) {
        return std::vector<double>(static_cast<std::size_t>(batch), 999.0);
    };
    const auto all = [](std::int64_t count) {
        return std::vector<std::int32_t>(static_cast<std::size_t>(count), 1);
    };

    // The prompt, and the empty one to compare with.
    run("text_encoder", ClipTextEncoder<Trace>(text_config), 2, [&](const auto& text_encoder) {
        text_encoder(TokenBatch{
            1, tokens, std::vector<std::int32_t>(static_cast<std::size_t>(tokens)), all(tokens)});
    });
    run("prior", PriorTransformer<Trace>(prior_config), settings.prior_steps,
        [&](const auto& prior) {
            const auto embedding = Trace::tensor({prior_batch, prior_config.embedding_dim});
            const auto states = Trace::tensor({prior_batch, tokens, prior_config.embedding_dim});
            prior(embedding, times(prior_batch), embedding, states, all(prior_batch * tokens));
        });
    run("text_proj", TextProjection<Trace>(projection_config), 1, [&](const auto& projection) {
        const auto embedding =
            Trace::tensor({decoder_batch, projection_config.clip_embeddings_dim});
        projection(embedding, embedding,
                   Trace::tensor({decoder_batch, tokens, projection_config.clip_embeddings_dim}));
    });
    run("decoder", UNet<Trace>(decoder_config), settings.decoder_steps, [&](const auto& unet) {
        const std::int64_t size = decoder_config.sample_size;
        const std::int64_t context_tokens = tokens + projection_config.clip_extra_context_tokens;
        const auto context =
            Trace::tensor({decoder_batch, context_tokens, decoder_config.context_width});
        const auto time = Trace::tensor({decoder_batch, time_embedding_width(decoder_config)});
        const auto keep = all(decoder_batch * context_tokens);
        unet(Trace::tensor({decoder_batch, size, size, decoder_config.in_channels}),
             times(decoder_batch), &time, {.tokens = &context, .keep = keep});
    });
    const std::int64_t last_runs = directory.has("super_res_last") ? 1 : 0;
    const auto upsampler = [&](const std::string& component, std::int64_t runs) {
        const auto config = load_config<UNetConfig>(directory, component);
        run(component, UNet<Trace>(config), runs, [&](const auto& unet) {
            unet(Trace::tensor({1, config.sample_size, config.sample_size, config.in_channels}),
                 times(1));
        });
    };
    upsampler("super_res_first", settings.super_resolution_steps - last_runs);
    if (last_runs > 0) upsampler("super_res_last", last_runs);
    return costs;
}

}  // namespace dalle2
