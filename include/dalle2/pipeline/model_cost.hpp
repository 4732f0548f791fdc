// What the networks of a model directory are and cost, from their configs alone: each is run once
// on the Trace engine.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/decoder/unet_times.hpp>
#include <dalle2/engine/trace.hpp>
#include <dalle2/nn/visit.hpp>
#include <dalle2/pipeline/component.hpp>
#include <dalle2/pipeline/generate_options.hpp>

namespace dalle2 {

namespace detail {

inline TokenBatch some_tokens(std::int64_t batch, std::int64_t tokens) {
    const auto count = static_cast<std::size_t>(batch * tokens);
    return {batch, tokens, std::vector<std::int32_t>(count), std::vector<std::int32_t>(count, 1)};
}

// The costs of what `run` does.
template <class Run>
TraceLog traced(std::int64_t bytes_per_element, Run&& run) {
    TraceLog log(bytes_per_element);
    const TraceLog::Scope scope(log);
    run();
    return log;
}

}  // namespace detail

// What one forward pass of a network does, nothing of it made before, for a batch of so many
// samples, whose texts have so many tokens and whose pictures so many pixels a side. (Templates,
// like model_cost, so that programs which do not ask do not pay for the compilation of every model
// on one more engine.)
template <std::same_as<Trace> E = Trace>
TraceLog trace_text_encoder(const ClipTextConfig& config, std::int64_t batch, std::int64_t tokens,
                            std::int64_t bytes_per_element = 4) {
    return detail::traced(bytes_per_element,
                          [&] { ClipTextEncoder<E>{config}(detail::some_tokens(batch, tokens)); });
}

// Of the embedding alone, without the states of all tokens.
template <std::same_as<Trace> E = Trace>
TraceLog trace_text_embedding(const ClipTextConfig& config, std::int64_t batch, std::int64_t tokens,
                              std::int64_t bytes_per_element = 4) {
    return detail::traced(bytes_per_element, [&] {
        ClipTextEncoder<E>{config}.embedding(detail::some_tokens(batch, tokens));
    });
}

template <std::same_as<Trace> E = Trace>
TraceLog trace_image_encoder(const ClipImageConfig& config, std::int64_t batch,
                             std::int64_t bytes_per_element = 4) {
    return detail::traced(bytes_per_element, [&] {
        ClipImageEncoder<E>{config}(E::tensor({batch, config.image_size, config.image_size, 3}));
    });
}

template <std::same_as<Trace> E = Trace>
TraceLog trace_prior(const PriorConfig& config, std::int64_t batch, std::int64_t tokens,
                     std::int64_t bytes_per_element = 4) {
    return detail::traced(bytes_per_element, [&] {
        const auto embedding = E::tensor({batch, config.embedding_dim});
        const PriorTransformer<E> prior(config);
        prior(embedding, std::vector<double>(static_cast<std::size_t>(batch), 999.0), embedding,
              E::tensor({batch, tokens, config.embedding_dim}),
              std::vector<std::int32_t>(static_cast<std::size_t>(batch * tokens), 1));
    });
}

template <std::same_as<Trace> E = Trace>
TraceLog trace_text_projection(const TextProjectionConfig& config, std::int64_t batch,
                               std::int64_t tokens, std::int64_t bytes_per_element = 4) {
    return detail::traced(bytes_per_element, [&] {
        const auto embedding = E::tensor({batch, config.clip_embeddings_dim});
        const TextProjection<E> projection(config);
        projection(embedding, embedding, E::tensor({batch, tokens, config.clip_embeddings_dim}));
    });
}

// A decoder's or an upsampler's; context_tokens count for the former alone.
template <std::same_as<Trace> E = Trace>
TraceLog trace_unet(const UNetConfig& config, std::int64_t batch, std::int64_t size,
                    std::int64_t context_tokens = 0, std::int64_t bytes_per_element = 4) {
    return detail::traced(bytes_per_element, [&] {
        const UNet<E> unet(config);
        const auto picture = E::tensor({batch, size, size, config.in_channels});
        const std::vector<double> times(static_cast<std::size_t>(batch), 999.0);
        if (config.context_width == 0) {
            unet(picture, times);
            return;
        }
        const auto context = E::tensor({batch, context_tokens, config.context_width});
        const auto time = E::tensor({batch, added_time_width(config)});
        const std::vector<std::int32_t> keep(static_cast<std::size_t>(batch * context_tokens), 1);
        unet(picture, times, &time, {.tokens = &context, .keep = keep});
    });
}

// What a network does in a diffusion: what it makes once for all steps, and one step.
struct DiffusionTrace {
    TraceLog preparation, step;

    explicit DiffusionTrace(std::int64_t bytes_per_element)
        : preparation(bytes_per_element), step(bytes_per_element) {}
};

// Of so many steps, each for a batch of so many rows.
template <std::same_as<Trace> E = Trace>
DiffusionTrace trace_prior_steps(const PriorConfig& config, std::int64_t steps, std::int64_t batch,
                                 std::int64_t tokens, std::int64_t bytes_per_element = 4) {
    DiffusionTrace trace(bytes_per_element);
    const PriorTransformer<E> prior(config);
    const auto embedding = E::tensor({batch, config.embedding_dim});
    PreparedText<E> text;
    {
        const TraceLog::Scope scope(trace.preparation);
        text =
            prior.prepare(embedding, E::tensor({batch, tokens, config.embedding_dim}),
                          std::vector<std::int32_t>(static_cast<std::size_t>(batch * tokens), 1));
        prior.prepare(std::vector<double>(static_cast<std::size_t>(steps), 999.0));
    }
    const TraceLog::Scope scope(trace.step);
    const auto time = E::repeat(E::tensor({1, prior.width}), batch);
    prior(embedding, time, text);
    return trace;
}

// A decoder's or an upsampler's; context_tokens count for the former alone.
template <std::same_as<Trace> E = Trace>
DiffusionTrace trace_unet_steps(const UNetConfig& config, std::int64_t steps, std::int64_t batch,
                                std::int64_t context_tokens = 0,
                                std::int64_t bytes_per_element = 4) {
    DiffusionTrace trace(bytes_per_element);
    const UNet<E> unet(config);
    const std::int64_t size = config.sample_size;
    const bool conditional = config.context_width > 0;
    const auto tokens = E::tensor({batch, context_tokens, config.context_width});
    const auto added_time = E::tensor({batch, added_time_width(config)});
    PreparedContext<E> context;
    PreparedTime<E> time;
    {
        const TraceLog::Scope scope(trace.preparation);
        if (conditional) context = unet.prepare({.tokens = &tokens}, size, size);
        UNetTimes<E> times(unet, std::vector<std::int64_t>(static_cast<std::size_t>(steps), 999),
                           batch, conditional ? &added_time : nullptr);
        for (std::int64_t i = 0; i < steps; ++i) time = times.at(i);
    }
    const TraceLog::Scope scope(trace.step);
    unet(E::tensor({batch, size, size, config.in_channels}), time, context);
    return trace;
}

struct ComponentCost {
    std::string component;              // as the directory calls it
    std::int64_t parameters;            // trained values
    std::int64_t runs;                  // for one picture
    TraceLog log;                       // of one run
    TraceLog preparation = TraceLog();  // of what is made once for all runs

    std::int64_t multiply_adds() const {
        return preparation.multiply_adds() + runs * log.multiply_adds();
    }
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
                                       std::int64_t runs, TraceLog log) -> ComponentCost& {
        return costs.emplace_back(
            ComponentCost{component, parameter_count(Module(config)), runs, std::move(log)});
    };
    const auto add_diffusion = [&]<class Module>(const std::string& component, const auto& config,
                                                 std::int64_t runs, DiffusionTrace trace) {
        add.template operator()<Module>(component, config, runs, std::move(trace.step))
            .preparation = std::move(trace.preparation);
    };
    // The prompt, and the empty one to compare with.
    add.template operator()<ClipTextEncoder<E>>("text_encoder", text_config, 2,
                                                trace_text_encoder(text_config, 1, tokens, bytes));
    if (directory.has("prior")) {
        const auto config = load_config<PriorConfig>(directory, "prior");
        add_diffusion.template operator()<PriorTransformer<E>>(
            "prior", config, settings.prior_steps,
            trace_prior_steps(config, settings.prior_steps, prior_batch, tokens, bytes));
    } else {  // a model for variations of pictures
        const auto config = load_config<ClipImageConfig>(directory, "image_encoder");
        add.template operator()<ClipImageEncoder<E>>("image_encoder", config, 1,
                                                     trace_image_encoder(config, 1, bytes));
    }
    add.template operator()<TextProjection<E>>(
        "text_proj", projection_config, 1,
        trace_text_projection(projection_config, decoder_batch, tokens, bytes));
    const auto add_unet = [&](const std::string& component, const UNetConfig& config,
                              std::int64_t runs, std::int64_t batch, std::int64_t context_tokens) {
        add_diffusion.template operator()<UNet<E>>(
            component, config, runs, trace_unet_steps(config, runs, batch, context_tokens, bytes));
    };
    add_unet("decoder", decoder_config, settings.decoder_steps, decoder_batch,
             tokens + projection_config.clip_extra_context_tokens);
    const std::int64_t last_runs = directory.has("super_res_last") ? 1 : 0;
    add_unet("super_res_first", load_config<UNetConfig>(directory, "super_res_first"),
             settings.super_resolution_steps - last_runs, 1, 0);
    if (last_runs > 0)
        add_unet("super_res_last", load_config<UNetConfig>(directory, "super_res_last"), 1, 1, 0);
    return costs;
}

}  // namespace dalle2
