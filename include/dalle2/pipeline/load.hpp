// From a model directory to a pipeline.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <dalle2/pipeline/any_pipeline.hpp>
#include <dalle2/pipeline/on_demand.hpp>
#include <dalle2/pipeline/part_loader.hpp>
#include <dalle2/pipeline/text_to_image.hpp>

namespace dalle2 {

// The pipeline that a model directory describes, on one engine.
template <Engine E>
using StandardPipeline =
    TextToImage<ClipTokenizer, ClipTextEncoder<E>, DiffusionPrior<E, AnySampler>,
                Decoder<E, AnySampler>, Upsampler<E, AnySampler>>;

// The same, each network in memory only while a call uses it.
template <Engine E>
using StagedPipeline =
    TextToImage<ClipTokenizer, OnDemand<ClipTextEncoder<E>>,
                OnDemand<DiffusionPrior<E, AnySampler>>, OnDemand<Decoder<E, AnySampler>>,
                OnDemand<Upsampler<E, AnySampler>>>;

// Loads every component on engine E. Throws IoError for what is missing, FormatError for damaged
// files, ConfigError for what is not supported or does not fit together.
template <Engine E>
StandardPipeline<E> load_on(const std::filesystem::path& path, const LoadOptions& options = {}) {
    const PartLoader<E> parts(path, options);
    (void)parts.directory.folder("prior");  // before the first weights are read
    return {parts.tokenizer(), parts.text_encoder(), parts.prior(),
            parts.decoder(),   parts.upsampler(),    parts.configs.defaults};
}

// Looks at every file now, and loads a component when it is needed. Throws as load_on; so do the
// calls of the pipeline, when a file has changed meanwhile.
template <Engine E>
StagedPipeline<E> load_staged_on(const std::filesystem::path& path,
                                 const LoadOptions& options = {}) {
    const auto parts = std::make_shared<const PartLoader<E>>(path, options);
    parts->check_prior();
    parts->check();
    return {parts->tokenizer(),
            OnDemand<ClipTextEncoder<E>>([parts] { return parts->text_encoder(); }),
            OnDemand<DiffusionPrior<E, AnySampler>>([parts] { return parts->prior(); }),
            OnDemand<Decoder<E, AnySampler>>([parts] { return parts->decoder(); }),
            OnDemand<Upsampler<E, AnySampler>>([parts] { return parts->upsampler(); }),
            parts->configs.defaults};
}

// A pipeline whose engine was chosen at run time. Constant, cheap to move, and may be used from
// several threads at once.
class Pipeline
    : public AnyPipeline<StandardPipeline<Reference>, StandardPipeline<Cpu<float>>,
                         StandardPipeline<Cpu<bfloat16>>, StandardPipeline<Cpu<std::int8_t>>,
                         StagedPipeline<Reference>, StagedPipeline<Cpu<float>>,
                         StagedPipeline<Cpu<bfloat16>>, StagedPipeline<Cpu<std::int8_t>>> {
public:
    using AnyPipeline::AnyPipeline;

    Picture operator()(const std::string& prompt, const GenerateOptions& options = {}) const {
        return visit([&](const auto& pipeline) { return pipeline(prompt, options); });
    }
    Generation generate(const std::vector<std::string>& prompts,
                        const GenerateOptions& options = {}) const {
        return visit([&](const auto& pipeline) { return pipeline.generate(prompts, options); });
    }
};

// The pipeline in a model directory, which may also be named as in the hub's cache, "org/name".
// Throws as load_on.
inline Pipeline load(const std::filesystem::path& path, const LoadOptions& options = {}) {
    return on_engine(options.engine, [&]<Engine E>(std::type_identity<E>) {
        return options.residency == Residency::whole ? Pipeline(load_on<E>(path, options))
                                                     : Pipeline(load_staged_on<E>(path, options));
    });
}

}  // namespace dalle2
