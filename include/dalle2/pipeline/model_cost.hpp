// What the networks of a model directory are and cost, from their configs alone: each is run once
// on the Trace engine.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/engine/trace.hpp>
#include <dalle2/nn/visit.hpp>
#include <dalle2/pipeline/component.hpp>
#include <dalle2/pipeline/generate_options.hpp>

namespace dalle2 {

// What one forward pass of a network does, for a batch of so many samples, whose texts have so many
// tokens and whose pictures so many pixels a side. (Templates, like model_cost, so that programs
// which do not ask do not pay for the compilation of every model on one more engine.)
template <std::same_as<Trace> E = Trace>
TraceLog trace_text_encoder(const ClipTextConfig& config, std::int64_t batch, std::int64_t tokens,
                            std::int64_t bytes_per_element = 4) {
    TraceLog log(bytes_per_element);
    const TraceLog::Scope scope(log);
    const auto count = static_cast<std::size_t>(batch * tokens);
    const ClipTextEncoder<E> text_encoder(config);
    text_encoder(TokenBatch{batch, tokens, std::vector<std::int32_t>(count),
                            std::vector<std::int32_t>(count, 1)});
    return log;
}

template <std::same_as<Trace> E = Trace>
TraceLog trace_image_encoder(const ClipImageConfig& config, std::int64_t batch,
                             std::int64_t bytes_per_element = 4) {
    TraceLog log(bytes_per_element);
    const TraceLog::Scope scope(log);
    const ClipImageEncoder<E> image_encoder(config);
    image_encoder(E::tensor({batch, config.image_size, config.image_size, 3}));
    return log;
}

template <std::same_as<Trace> E = Trace>
TraceLog trace_prior(const PriorConfig& config, std::int64_t batch, std::int64_t tokens,
                     std::int64_t bytes_per_element = 4) {
    TraceLog log(bytes_per_element);
    const TraceLog::Scope scope(log);
    const auto embedding = E::tensor({batch, config.embedding_dim});
    const PriorTransformer<E> prior(config);
    prior(embedding, std::vector<double>(static_cast<std::size_t>(batch), 999.0), embedding,
          E::tensor({batch, tokens, config.embedding_dim}),
          std::vector<std::int32_t>(static_cast<std::size_t>(batch * tokens), 1));
    return log;
}

template <std::same_as<Trace> E = Trace>
TraceLog trace_text_projection(const TextProjectionConfig& config, std::int64_t batch,
                               std::int64_t tokens, std::int64_t bytes_per_element = 4) {
    TraceLog log(bytes_per_element);
    const TraceLog::Scope scope(log);
    const auto embedding = E::tensor({batch, config.clip_embeddings_dim});
    const TextProjection<E> projection(config);
    projection(embedding, embedding, E::tensor({batch, tokens, config.clip_embeddings_dim}));
    return log;
}

// A decoder's or an upsampler's; context_tokens count for the former alone.
template <std::same_as<Trace> E = Trace>
TraceLog trace_unet(const UNetConfig& config, std::int64_t batch, std::int64_t size,
                    std::int64_t context_tokens = 0, std::int64_t bytes_per_element = 4) {
    TraceLog log(bytes_per_element);
    const TraceLog::Scope scope(log);
    const UNet<E> unet(config);
    const auto picture = E::tensor({batch, size, size, config.in_channels});
    const std::vector<double> times(static_cast<std::size_t>(batch), 999.0);
    if (config.context_width == 0) {
        unet(picture, times);
        return log;
    }
    const auto context = E::tensor({batch, context_tokens, config.context_width});
    const auto time = E::tensor({batch, added_time_width(config)});
    const std::vector<std::int32_t> keep(static_cast<std::size_t>(batch * context_tokens), 1);
    unet(picture, times, &time, {.tokens = &context, .keep = keep});
    return log;
}

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
template <std::same_as<Trace> E = Trace>
std::vector<ComponentCost> model_cost(const ModelDirectory& directory,
                                      const ModelCostOptions& options = {}) {
    const GenerationDefaults& settings = options.settings;
    const auto text_config = load_config<ClipTextConfig>(directory, "text_encoder");
    const auto projection_config = load_config<TextProjectionConfig>(directory, "text_proj");
    const auto decoder_config = load_config<UNetConfig>(directory, "decoder");
    const std::int64_t tokens =
        options.tokens > 0 ? options.tokens : text_config.max_position_embeddings;
    const std::int64_t prior_batch = settings.prior_guidance_scale == 1.0 ? 1 : 2;
    const std::int64_t decoder_batch = settings.decoder_guidance_scale == 1.0 ? 1 : 2;

    const std::int64_t bytes = options.bytes_per_element;

    std::vector<ComponentCost> costs;
    const auto add = [&]<class Module>(const std::string& component, const auto& config,
                                       std::int64_t runs, TraceLog log) {
        costs.push_back({component, parameter_count(Module(config)), runs, std::move(log)});
    };
    // The prompt, and the empty one to compare with.
    add.template operator()<ClipTextEncoder<E>>("text_encoder", text_config, 2,
                                                trace_text_encoder(text_config, 1, tokens, bytes));
    if (directory.has("prior")) {
        const auto config = load_config<PriorConfig>(directory, "prior");
        add.template operator()<PriorTransformer<E>>(
            "prior", config, settings.prior_steps, trace_prior(config, prior_batch, tokens, bytes));
    } else {  // a model for variations of pictures
        const auto config = load_config<ClipImageConfig>(directory, "image_encoder");
        add.template operator()<ClipImageEncoder<E>>("image_encoder", config, 1,
                                                     trace_image_encoder(config, 1, bytes));
    }
    add.template operator()<TextProjection<E>>(
        "text_proj", projection_config, 1,
        trace_text_projection(projection_config, decoder_batch, tokens, bytes));
    add.template operator()<UNet<E>>(
        "decoder", decoder_config, settings.decoder_steps,
        trace_unet(decoder_config, decoder_batch, decoder_config.sample_size,
                   tokens + projection_config.clip_extra_context_tokens, bytes));
    const std::int64_t last_runs = directory.has("super_res_last") ? 1 : 0;
    const auto upsampler = [&](const std::string& component, std::int64_t runs) {
        const auto config = load_config<UNetConfig>(directory, component);
        add.template operator()<UNet<E>>(component, config, runs,
                                         trace_unet(config, 1, config.sample_size, 0, bytes));
    };
    upsampler("super_res_first", settings.super_resolution_steps - last_runs);
    if (last_runs > 0) upsampler("super_res_last", last_runs);
    return costs;
}

}  // namespace dalle2
