// How much memory a picture will take, from a model's configs alone: the weights as an engine packs
// them, what each stage needs besides, found by running it on the Trace engine, and the program.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <dalle2/core/bfloat16.hpp>
#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/core/random.hpp>
#include <dalle2/engine/engine_kind.hpp>
#include <dalle2/engine/int8_rule.hpp>
#include <dalle2/engine/trace.hpp>
#include <dalle2/kernels/packed_weights.hpp>
#include <dalle2/nn/visit.hpp>
#include <dalle2/pipeline/any_sampler.hpp>
#include <dalle2/pipeline/component.hpp>
#include <dalle2/pipeline/decoder.hpp>
#include <dalle2/pipeline/diffusion_prior.hpp>
#include <dalle2/pipeline/model_configs.hpp>
#include <dalle2/pipeline/on_demand.hpp>
#include <dalle2/pipeline/upsampler.hpp>

namespace dalle2 {

// What is in memory at one time, in bytes.
struct MemoryStage {
    std::string name;              // of a component, as the directory calls it
    std::int64_t weights = 0;      // of its networks
    std::int64_t activations = 0;  // tensors, at most, with the gaps between them
};

// In the order of a picture's stages.
struct MemoryPlan {
    std::vector<MemoryStage> stages;
    std::int64_t program = 0;  // what a process takes besides that draws a picture

    // The most that a picture needs: with each network in memory in its turn, or all of them.
    std::int64_t peak_bytes(Residency residency) const {
        constexpr auto most_kept = static_cast<std::int64_t>(BufferPool::kept_bytes);
        std::int64_t all = 0, activations = 0, stage_peak = 0;
        for (const MemoryStage& stage : stages) {
            // The tensors of earlier stages are gone, but the pool keeps some of their memory.
            const std::int64_t pool = std::max(stage.activations, std::min(activations, most_kept));
            all += stage.weights;
            activations = std::max(activations, stage.activations);
            stage_peak = std::max(stage_peak, stage.weights + pool);
        }
        return program + (residency == Residency::whole ? all + activations : stage_peak);
    }
};

struct MemoryPlanOptions {
    EngineKind engine = fastest_engine();
    GenerationDefaults settings = {};
    std::int64_t batch = 1;   // pictures of one call
    std::int64_t tokens = 0;  // of the prompts; 0: as many as there can be
};

namespace detail {

// Of a program like `dalle2`, found by measuring: its code and its libraries', stacks, what kernels
// need for a moment and the pictures themselves take some 12 MB on x86-64; a vocabulary of the size
// of CLIP's takes 10 MB.
inline std::int64_t program_bytes(std::int64_t vocabulary_size) {
    return 12'000'000 + 200 * vocabulary_size;
}

template <class T>
std::int64_t packed_bytes(const Shape& s) {
    const auto layout = kernels::packed_layout<T>(s);
    // Each output of int8 weights has a scale and a sum.
    const std::int64_t scales =
        std::is_same_v<T, std::int8_t> ? layout.panels() * kernels::panel_width * (4 + 4) : 0;
    return layout.size() * static_cast<std::int64_t>(sizeof(T)) + scales;
}

// What a parameter takes on an engine; `int8` says that the int8 engine keeps it as int8.
inline std::int64_t parameter_bytes(const Shape& shape, ParameterKind kind, EngineKind engine,
                                    bool int8) {
    const std::int64_t count = element_count(shape);
    if (engine == EngineKind::reference || kind == ParameterKind::vector) return 4 * count;
    if (kind != ParameterKind::matrix && kind != ParameterKind::convolution)
        return (engine == EngineKind::cpu_float ? 4 : 2) * count;
    if (engine == EngineKind::cpu_float) return packed_bytes<float>(shape);
    if (engine == EngineKind::cpu_int8 && int8) return packed_bytes<std::int8_t>(shape);
    return packed_bytes<bfloat16>(shape);
}

// Of a module on the Trace engine. `file` is asked what is int8. Where it was not made for int8,
// every weight that would gain counts as such: that rounding changes a few of them too much can be
// seen only in their values.
template <class Module>
std::int64_t weight_bytes(const Module& module, EngineKind engine, const WeightFiles* file) {
    std::int64_t total = 0;
    for_each_parameter(module, [&](const std::string& name, const auto& parameter) {
        const bool int8 = file && file->made_for_int8()
                              ? file->is_int8(name)
                              : int8_unmeasured(name, parameter.shape(), parameter.kind());
        total += parameter_bytes(parameter.shape(), parameter.kind(), engine, int8);
    });
    return total;
}

}  // namespace detail

// Runs every stage on the way to a picture once on the Trace engine: from a text, or by a model
// without a prior from a picture. Throws IoError, FormatError, ConfigError. (A template as
// model_cost is.)
template <std::same_as<Trace> E = Trace>
MemoryPlan memory_plan(const ModelDirectory& directory, const MemoryPlanOptions& options = {}) {
    const ModelConfigs configs = load_model_configs(directory);
    const GenerationDefaults& settings = options.settings;
    const std::int64_t tokens =
        options.tokens > 0 ? options.tokens : configs.text_encoder.max_position_embeddings;
    const bool floats =
        options.engine == EngineKind::reference || options.engine == EngineKind::cpu_float;
    TorchGenerator generator(0);
    MemoryPlan plan;
    plan.program = detail::program_bytes(configs.text_encoder.vocab_size);
    const auto sampler = [](const NoiseScheduleConfig& config) {
        return AnySampler(NoiseSchedule(config));
    };
    const auto weights = [&](const std::string& component, const auto& module) {
        const bool asks = options.engine == EngineKind::cpu_int8;
        std::optional<WeightFiles> file;
        if (asks) file.emplace(directory.weights_path(component));
        return detail::weight_bytes(module, options.engine, asks ? &*file : nullptr);
    };
    const auto add = [&](const std::string& name, std::int64_t bytes, const auto& run) {
        TraceLog log(floats ? 4 : 2);
        const TraceLog::Scope scope(log);
        run();
        plan.stages.push_back({name, bytes, log.arena_bytes()});
    };

    const auto width = configs.text_encoder.projection_dim;
    const auto text_of = [&](std::int64_t batch) {
        return EncodedText{make_array({batch, width}),
                           make_array({batch, tokens, configs.text_encoder.encoder.hidden_size}),
                           std::vector<std::int32_t>(static_cast<std::size_t>(batch * tokens), 1)};
    };
    const EncodedText text = text_of(options.batch), unconditional = text_of(1);
    const ClipTextEncoder<E> text_encoder(configs.text_encoder);
    add("text_encoder", weights("text_encoder", text_encoder), [&] {
        const auto count = static_cast<std::size_t>(options.batch * tokens);
        encode_text(text_encoder,
                    TokenBatch{options.batch, tokens, std::vector<std::int32_t>(count),
                               std::vector<std::int32_t>(count, 1)});
    });
    if (configs.prior) {
        const DiffusionPrior<E, AnySampler> prior(PriorTransformer<E>(*configs.prior),
                                                  sampler(configs.prior_scheduler.value()));
        add("prior", weights("prior", prior.transformer), [&] {
            prior.sample(
                text, unconditional, generator,
                {.steps = settings.prior_steps, .guidance_scale = settings.prior_guidance_scale});
        });
    } else if (configs.image_encoder) {
        const ClipImageEncoder<E> image_encoder(*configs.image_encoder);
        const std::int64_t size = configs.image_encoder->image_size;
        add("image_encoder", weights("image_encoder", image_encoder), [&] {
            image_encoder(E::tensor({options.batch, size, size, 3}));
        });
    }
    const Decoder<E, AnySampler> decoder(TextProjection<E>(configs.text_proj),
                                         UNet<E>(configs.decoder),
                                         sampler(configs.decoder_scheduler));
    Array small;
    add("decoder", weights("text_proj", decoder.text_projection) + weights("decoder", decoder.unet),
        [&] {
            small =
                decoder.sample(make_array({options.batch, width}), text, unconditional, generator,
                               {.steps = settings.decoder_steps,
                                .guidance_scale = settings.decoder_guidance_scale});
        });
    const UNet<E> first(configs.super_res_first);
    const Upsampler<E, AnySampler> upsampler(first, std::nullopt,
                                             sampler(configs.super_res_scheduler));
    add("super_res_first", weights("super_res_first", first),
        [&] { upsampler.sample(small, generator, {.steps = settings.super_resolution_steps}); });
    if (configs.super_res_last) {
        const std::int64_t activations = plan.stages.back().activations;
        plan.stages.push_back({"super_res_last",
                               weights("super_res_last", UNet<E>(*configs.super_res_last)),
                               activations});
    }
    return plan;
}

}  // namespace dalle2
