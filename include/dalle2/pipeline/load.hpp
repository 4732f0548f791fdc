// From a model directory to a pipeline.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <variant>

#include <dalle2/core/bfloat16.hpp>
#include <dalle2/engine/cpu.hpp>
#include <dalle2/engine/reference.hpp>
#include <dalle2/kernels/isa.hpp>
#include <dalle2/pipeline/any_sampler.hpp>
#include <dalle2/pipeline/component.hpp>
#include <dalle2/pipeline/model_configs.hpp>
#include <dalle2/pipeline/text_to_image.hpp>

namespace dalle2 {

// Reference, Cpu<float> or Cpu<bfloat16>.
enum class EngineKind { reference, cpu_float, cpu_bfloat16 };

inline std::string to_string(EngineKind kind) {
    switch (kind) {
        case EngineKind::reference: return "reference";
        case EngineKind::cpu_float: return "float32";
        case EngineKind::cpu_bfloat16: return "bfloat16";
    }
    return "unknown";
}

// Throws ConfigError, naming `where`, for an engine that there is not.
inline EngineKind engine_kind_from_name(const std::string& name, const std::string& where) {
    for (const EngineKind kind :
         {EngineKind::reference, EngineKind::cpu_float, EngineKind::cpu_bfloat16})
        if (name == to_string(kind)) return kind;
    throw ConfigError(
        where + ": engine \"" + name +
        "\" is not supported; supported are \"reference\", \"float32\" and \"bfloat16\"");
}

// bfloat16 where the processor multiplies it faster than float, otherwise float32.
inline EngineKind fastest_engine() {
    return kernels::current_isa() == kernels::Isa::avx512_bf16 ? EngineKind::cpu_bfloat16
                                                               : EngineKind::cpu_float;
}

struct LoadOptions {
    EngineKind engine = fastest_engine();
    SamplerKind prior_sampler = SamplerKind::unclip, decoder_sampler = SamplerKind::unclip,
                super_resolution_sampler = SamplerKind::unclip;
    DdimOptions ddim = {};
    // As the public pipelines round their schedules, so that a seed means the same picture here and
    // there: a network with strong guidance magnifies even these roundings until they can be seen.
    SchedulePrecision schedule_precision = SchedulePrecision::as_reference;
    Warn warn = nullptr;  // told what is suspicious, such as weights that are not numbers
};

// The pipeline that a model directory describes, on one engine.
template <Engine E>
using StandardPipeline =
    TextToImage<ClipTokenizer, ClipTextEncoder<E>, DiffusionPrior<E, AnySampler>,
                Decoder<E, AnySampler>, Upsampler<E, AnySampler>>;

namespace detail {

inline AnySampler make_sampler(SamplerKind kind, const NoiseScheduleConfig& config,
                               const LoadOptions& options) {
    NoiseSchedule schedule(config, options.schedule_precision);
    if (kind == SamplerKind::ddim) return DdimSampler(std::move(schedule), options.ddim);
    return UnClipSampler(std::move(schedule));
}

}  // namespace detail

// Loads every component on engine E. Throws IoError for what is missing, FormatError for damaged
// files, ConfigError for what is not supported or does not fit together.
template <Engine E>
StandardPipeline<E> load_on(const std::filesystem::path& path, const LoadOptions& options = {}) {
    const ModelDirectory directory(path);
    const ModelConfigs configs = load_model_configs(directory);
    ClipTokenizer tokenizer = ClipTokenizer::from_directory(directory.folder("tokenizer"));
    check_tokenizer(tokenizer, configs, "'" + path.string() + "'");
    StandardPipeline<E> pipeline = {
        std::move(tokenizer),
        load_component<ClipTextEncoder, E>(directory, "text_encoder", options.warn),
        {load_component<PriorTransformer, E>(directory, "prior", options.warn),
         detail::make_sampler(options.prior_sampler, configs.prior_scheduler, options)},
        {load_component<TextProjection, E>(directory, "text_proj", options.warn),
         load_component<UNet, E>(directory, "decoder", options.warn),
         detail::make_sampler(options.decoder_sampler, configs.decoder_scheduler, options)},
        {load_component<UNet, E>(directory, "super_res_first", options.warn), std::nullopt,
         detail::make_sampler(options.super_resolution_sampler, configs.super_res_scheduler,
                              options)},
        configs.defaults};
    if (configs.super_res_last)
        pipeline.upsampler.last =
            load_component<UNet, E>(directory, "super_res_last", options.warn);
    return pipeline;
}

// A pipeline whose engine was chosen at run time. Constant, cheap to move, and may be used from
// several threads at once.
class Pipeline {
public:
    template <Engine E>
    explicit Pipeline(StandardPipeline<E> pipeline) : pipeline_(std::move(pipeline)) {}

    // Calls function(pipeline) with the StandardPipeline of whichever engine it is.
    template <class Function>
    decltype(auto) visit(Function&& function) const {
        return std::visit(std::forward<Function>(function), pipeline_);
    }

    Picture operator()(const std::string& prompt, const GenerateOptions& options = {}) const {
        return visit([&](const auto& pipeline) { return pipeline(prompt, options); });
    }
    Generation generate(const std::vector<std::string>& prompts,
                        const GenerateOptions& options = {}) const {
        return visit([&](const auto& pipeline) { return pipeline.generate(prompts, options); });
    }

    EngineKind engine() const { return static_cast<EngineKind>(pipeline_.index()); }
    const ClipTokenizer& tokenizer() const {
        return visit(
            [](const auto& pipeline) -> const ClipTokenizer& { return pipeline.tokenizer; });
    }
    const GenerationDefaults& defaults() const {
        return visit(
            [](const auto& pipeline) -> const GenerationDefaults& { return pipeline.defaults; });
    }

private:
    // In the order of EngineKind.
    std::variant<StandardPipeline<Reference>, StandardPipeline<Cpu<float>>,
                 StandardPipeline<Cpu<bfloat16>>>
        pipeline_;
};

// The pipeline in a model directory. Throws as load_on.
inline Pipeline load(const std::filesystem::path& path, const LoadOptions& options = {}) {
    switch (options.engine) {
        case EngineKind::reference: return Pipeline(load_on<Reference>(path, options));
        case EngineKind::cpu_float: return Pipeline(load_on<Cpu<float>>(path, options));
        case EngineKind::cpu_bfloat16: break;
    }
    return Pipeline(load_on<Cpu<bfloat16>>(path, options));
}

}  // namespace dalle2
