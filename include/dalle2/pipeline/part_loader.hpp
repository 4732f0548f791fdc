// From a model directory to the parts of its pipelines.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <dalle2/engine/engine_kind.hpp>
#include <dalle2/engine/profile.hpp>
#include <dalle2/pipeline/any_sampler.hpp>
#include <dalle2/pipeline/component.hpp>
#include <dalle2/pipeline/decoder.hpp>
#include <dalle2/pipeline/diffusion_prior.hpp>
#include <dalle2/pipeline/model_configs.hpp>
#include <dalle2/pipeline/on_demand.hpp>
#include <dalle2/pipeline/picture_encoder.hpp>
#include <dalle2/pipeline/upsampler.hpp>

namespace dalle2 {

struct LoadOptions {
    EngineKind engine = fastest_engine();
    Residency residency = Residency::whole;
    // Which files, where a folder has several: "fp16" for model.fp16.safetensors. Empty: the plain
    // ones, or else the only variant there is.
    std::string variant = "";
    SamplerKind prior_sampler = SamplerKind::unclip, decoder_sampler = SamplerKind::unclip,
                super_resolution_sampler = SamplerKind::unclip;
    DdimOptions ddim = {};
    // As the public pipelines round their schedules, so that a seed means the same picture here and
    // there: a network with strong guidance magnifies even these roundings until they can be seen.
    SchedulePrecision schedule_precision = SchedulePrecision::as_reference;
    Warn warn = nullptr;  // told what is suspicious, such as weights that are not numbers
    // Told the name of each component, such as "decoder", before its weights are read.
    std::function<void(const std::string&)> on_component = nullptr;
};

inline AnySampler make_sampler(SamplerKind kind, const NoiseScheduleConfig& config,
                               const LoadOptions& options) {
    return make_sampler(kind, NoiseSchedule(config, options.schedule_precision), options.ddim);
}

// Reads the settings of a model directory at once, and makes each part on engine E when asked.
// Throws IoError for what is missing, FormatError for damaged files, ConfigError for what is not
// supported or does not fit together.
template <Engine E>
struct PartLoader {
    ModelDirectory directory;
    ModelConfigs configs;
    LoadOptions options;

    explicit PartLoader(const std::filesystem::path& path, const LoadOptions& load_options = {})
        : directory(path, load_options.variant),
          configs(load_model_configs(directory)),
          options(load_options) {}

    ClipTokenizer tokenizer() const {
        ClipTokenizer made = ClipTokenizer::from_directory(directory.folder("tokenizer"));
        check_tokenizer(made, configs, "'" + directory.path().string() + "'");
        return made;
    }
    ClipTextEncoder<E> text_encoder() const { return load<ClipTextEncoder>("text_encoder"); }
    // Throws IoError when the model is one for variations of pictures alone.
    DiffusionPrior<E, AnySampler> prior() const {
        (void)directory.folder("prior");
        return {load<PriorTransformer>("prior"),
                sampler(options.prior_sampler, configs.prior_scheduler.value())};
    }
    // Throws IoError when the model has no image encoder, or nothing that prepares its pictures.
    ClipPictureEncoder<E> picture_encoder() const {
        ClipPreprocessor preprocessor =
            ClipPreprocessor::from_file(directory.config_path("feature_extractor"));
        return {std::move(preprocessor), {std::nullopt, load<ClipImageEncoder>("image_encoder")}};
    }
    Decoder<E, AnySampler> decoder() const {
        return {load<TextProjection>("text_proj"), load<UNet>("decoder"),
                sampler(options.decoder_sampler, configs.decoder_scheduler)};
    }
    Upsampler<E, AnySampler> upsampler() const {
        return upsampler_of([this](const std::string& component) {
            return OnDemand<UNet<E>>(load<UNet>(component));
        });
    }
    // The same, but its networks, which are never needed at the same time, may be in memory in
    // turn: then they keep the loader.
    static Upsampler<E, AnySampler> upsampler(const std::shared_ptr<const PartLoader>& loader,
                                              Residency residency) {
        return loader->upsampler_of([&](const std::string& component) {
            return OnDemand<UNet<E>>(
                residency, [loader, component] { return loader->template load<UNet>(component); });
        });
    }

    // Throws what the parts would throw when they are made, as far as it can be seen without
    // reading weights: of all parts but the tokenizer and those that take a text or a picture to an
    // image embedding.
    void check() const {
        check_component<ClipTextEncoder, E>(directory, "text_encoder");
        check_component<TextProjection, E>(directory, "text_proj");
        check_component<UNet, E>(directory, "decoder");
        check_component<UNet, E>(directory, "super_res_first");
        if (configs.super_res_last) check_component<UNet, E>(directory, "super_res_last");
    }

    void check_prior() const { check_component<PriorTransformer, E>(directory, "prior"); }
    void check_picture_encoder() const {
        (void)directory.config_path("feature_extractor");
        check_component<ClipImageEncoder, E>(directory, "image_encoder");
    }

private:
    // (The engine is a parameter once more because clang 16 does not survive Module<E> here.)
    template <template <Engine> class Module, Engine SameEngine = E>
    Module<SameEngine> load(const std::string& component) const {
        if (options.on_component) options.on_component(component);
        const ProfileRegion region("load " + component);
        return load_component<Module, SameEngine>(directory, component, options.warn);
    }
    template <class MakeNetwork>
    Upsampler<E, AnySampler> upsampler_of(const MakeNetwork& network) const {
        OnDemand<UNet<E>> first = network("super_res_first");
        std::optional<OnDemand<UNet<E>>> last;
        if (configs.super_res_last) last = network("super_res_last");
        return {std::move(first), std::move(last),
                sampler(options.super_resolution_sampler, configs.super_res_scheduler)};
    }
    AnySampler sampler(SamplerKind kind, const NoiseScheduleConfig& config) const {
        return make_sampler(kind, config, options);
    }
};

}  // namespace dalle2
