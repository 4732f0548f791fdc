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
    for (const EngineKind kind : {EngineKind::reference, EngineKind::cpu_float, EngineKind::cpu_bfloat16})
        if (name == to_string(kind)) return kind;
    throw ConfigError(where + ": engine \"" + name +
                      "\" is not supported; supported are \"reference\", \"float32\" and \"bfloat16\"");
}

// bfloat16 where the processor multiplies it faster than float, otherwise float32.
inline EngineKind fastest_engine() {
    return kernels::current_isa() == kernels::Isa::avx512_bf16 ? EngineKind::cpu_bfloat16 : EngineKind::cpu_float;
}

struct LoadOptions {
    EngineKind engine = fastest_engine();
    SamplerKind prior_sampler = SamplerKind::unclip, decoder_sampler = SamplerKind::unclip,
                super_resolution_sampler = SamplerKind::unclip;
    DdimOptions ddim = {};
    // as_reference repeats the roundings of the public pipelines' schedules.
    SchedulePrecision schedule_precision = SchedulePrecision::exact;
    Warn warn = nullptr;  // told what is suspicious, such as weights that are not numbers
};

// The pipeline that a model directory describes, on one engine.
template <Engine E>
using StandardPipeline = TextToImage<ClipTokenizer, ClipTextEncoder<E>, DiffusionPrior<E, AnySampler>,
                                     Decoder<E, AnySampler>, Upsampler<E, AnySampler>>;

namespace detail {

// Sizes that two components must agree about.
inline void check_agreement(const std::string& model, const std::string& a, std::int64_t value_a, const std::string& b,
                            std::int64_t value_b) {
    if (value_a != value_b)
        throw ConfigError("the components of " + model + " do not fit together: " + a + " is " + std::to_string(value_a) +
                          " and " + b + " is " + std::to_string(value_b) + "; expected the same");
}

template <class Pipeline>
void check_components(const std::string& model, const Pipeline& p) {
    const ClipTextConfig& text = p.text_encoder.config;
    const PriorConfig& prior = p.prior.transformer.config;
    const TextProjectionConfig& projection = p.decoder.text_projection.config;
    const UNetConfig& unet = p.decoder.unet.config;
    const std::int64_t embedding = text.projection_dim;
    check_agreement(model, "text_encoder/projection_dim", embedding, "text_encoder/hidden_size", text.encoder.hidden_size);
    check_agreement(model, "text_encoder/projection_dim", embedding, "prior/embedding_dim", prior.embedding_dim);
    check_agreement(model, "text_encoder/projection_dim", embedding, "text_proj/clip_embeddings_dim",
                    projection.clip_embeddings_dim);
    check_agreement(model, "tokenizer/model_max_length", p.tokenizer.max_length(), "prior/num_embeddings",
                    prior.num_embeddings);
    check_agreement(model, "text_proj/time_embed_dim", projection.time_embed_dim,
                    "four times the first of decoder/block_out_channels", time_embedding_width(unet));
    check_agreement(model, "text_proj/cross_attention_dim", projection.cross_attention_dim, "decoder/cross_attention_dim",
                    unet.context_width);
    check_agreement(model, "decoder/in_channels", unet.in_channels, "the channels of a picture", 3);
    if (p.tokenizer.vocabulary_size() > text.vocab_size || p.tokenizer.max_length() > text.max_position_embeddings)
        throw ConfigError("the components of " + model + " do not fit together: the tokenizer has " +
                          std::to_string(p.tokenizer.vocabulary_size()) + " tokens and sequences of " +
                          std::to_string(p.tokenizer.max_length()) + ", the text encoder was made for " +
                          std::to_string(text.vocab_size) + " and " + std::to_string(text.max_position_embeddings));
    for (const auto* upsampler : {&p.upsampler.first, p.upsampler.last ? &*p.upsampler.last : &p.upsampler.first}) {
        check_agreement(model, "the upsampler's in_channels", upsampler->config.in_channels,
                        "twice the channels of a picture", 6);
        check_agreement(model, "the upsampler's sample_size", upsampler->config.sample_size, "super_res_first/sample_size",
                        p.upsampler.first.config.sample_size);
    }
}

// A network of a learned variance predicts twice as many channels as the picture has.
inline void check_channels(const std::string& model, const std::string& component, const UNetConfig& unet,
                           const NoiseScheduleConfig& schedule) {
    const bool learned = schedule.variance_type == VarianceType::learned_range;
    if (unet.out_channels != 6 && (learned || unet.out_channels != 3))
        throw ConfigError("the components of " + model + " do not fit together: " + component + "/out_channels is " +
                          std::to_string(unet.out_channels) + "; expected " +
                          (learned ? "6, because its schedule has a learned variance" : "3 or 6"));
}

inline AnySampler make_sampler(SamplerKind kind, const NoiseScheduleConfig& config, const LoadOptions& options) {
    NoiseSchedule schedule(config, options.schedule_precision);
    if (kind == SamplerKind::ddim) return DdimSampler(std::move(schedule), options.ddim);
    return UnClipSampler(std::move(schedule));
}

}  // namespace detail

// The defaults in a model directory's generation_config.json, those of the public pipelines where
// there is none. Throws FormatError, ConfigError.
inline GenerationDefaults load_generation_defaults(const std::filesystem::path& model) {
    GenerationDefaults d;
    const std::filesystem::path path = model / "generation_config.json";
    if (!std::filesystem::exists(path)) return d;
    ConfigReader reader = ConfigReader::from_file(path);
    d.prior_steps = reader.get_or("prior_steps", d.prior_steps, 1, 1000);
    d.decoder_steps = reader.get_or("decoder_steps", d.decoder_steps, 1, 1000);
    d.super_resolution_steps = reader.get_or("super_resolution_steps", d.super_resolution_steps, 1, 1000);
    d.prior_guidance_scale = reader.get_or("prior_guidance_scale", d.prior_guidance_scale, -1000, 1000);
    d.decoder_guidance_scale = reader.get_or("decoder_guidance_scale", d.decoder_guidance_scale, -1000, 1000);
    reader.finish();
    return d;
}

inline void save_generation_defaults(const std::filesystem::path& model, const GenerationDefaults& d) {
    OrderedJson json;
    json["prior_steps"] = d.prior_steps;
    json["decoder_steps"] = d.decoder_steps;
    json["super_resolution_steps"] = d.super_resolution_steps;
    json["prior_guidance_scale"] = d.prior_guidance_scale;
    json["decoder_guidance_scale"] = d.decoder_guidance_scale;
    write_json(model / "generation_config.json", json);
}

// Loads every component on engine E. Throws IoError for what is missing, FormatError for damaged
// files, ConfigError for what is not supported or does not fit together.
template <Engine E>
StandardPipeline<E> load_on(const std::filesystem::path& path, const LoadOptions& options = {}) {
    const ModelDirectory directory(path);
    const NoiseScheduleConfig prior_schedule = load_schedule_config(directory, "prior_scheduler");
    const NoiseScheduleConfig decoder_schedule = load_schedule_config(directory, "decoder_scheduler");
    const NoiseScheduleConfig super_res_schedule = load_schedule_config(directory, "super_res_scheduler");
    StandardPipeline<E> pipeline = {
        ClipTokenizer::from_directory(directory.folder("tokenizer")),
        load_component<ClipTextEncoder, E>(directory, "text_encoder", options.warn),
        {load_component<PriorTransformer, E>(directory, "prior", options.warn),
         detail::make_sampler(options.prior_sampler, prior_schedule, options)},
        {load_component<TextProjection, E>(directory, "text_proj", options.warn),
         load_component<UNet, E>(directory, "decoder", options.warn),
         detail::make_sampler(options.decoder_sampler, decoder_schedule, options)},
        {load_component<UNet, E>(directory, "super_res_first", options.warn),
         {},
         detail::make_sampler(options.super_resolution_sampler, super_res_schedule, options)},
        load_generation_defaults(path)};
    if (directory.has("super_res_last"))
        pipeline.upsampler.last = load_component<UNet, E>(directory, "super_res_last", options.warn);
    const std::string model = "'" + path.string() + "'";
    detail::check_components(model, pipeline);
    detail::check_channels(model, "decoder", pipeline.decoder.unet.config, decoder_schedule);
    detail::check_channels(model, "super_res_first", pipeline.upsampler.first.config, super_res_schedule);
    if (pipeline.upsampler.last)
        detail::check_channels(model, "super_res_last", pipeline.upsampler.last->config, super_res_schedule);
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
    Generation generate(const std::vector<std::string>& prompts, const GenerateOptions& options = {}) const {
        return visit([&](const auto& pipeline) { return pipeline.generate(prompts, options); });
    }

    EngineKind engine() const { return static_cast<EngineKind>(pipeline_.index()); }
    const ClipTokenizer& tokenizer() const {
        return visit([](const auto& pipeline) -> const ClipTokenizer& { return pipeline.tokenizer; });
    }
    const GenerationDefaults& defaults() const {
        return visit([](const auto& pipeline) -> const GenerationDefaults& { return pipeline.defaults; });
    }

private:
    // In the order of EngineKind.
    std::variant<StandardPipeline<Reference>, StandardPipeline<Cpu<float>>, StandardPipeline<Cpu<bfloat16>>> pipeline_;
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
