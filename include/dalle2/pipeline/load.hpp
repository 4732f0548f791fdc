// From a model directory to a pipeline.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <dalle2/engine/on_engine.hpp>
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

// The same, each network in memory for good or only while a call uses it.
template <Engine E>
using StagedPipeline = TextToImage<ClipTokenizer, OnDemand<ClipTextEncoder<E>>,
                                   OnDemand<DiffusionPrior<E, AnySampler>>,
                                   OnDemand<Decoder<E, AnySampler>>, Upsampler<E, AnySampler>>;

// Loads every component on engine E. Throws IoError for what is missing, FormatError for damaged
// files, ConfigError for what is not supported or does not fit together.
template <Engine E>
StandardPipeline<E> load_on(const std::filesystem::path& path, const LoadOptions& options = {}) {
    const PartLoader<E> parts(path, options);
    (void)parts.directory.folder("prior");  // before the first weights are read
    return {parts.tokenizer(), parts.text_encoder(), parts.prior(),
            parts.decoder(),   parts.upsampler(),    parts.configs.defaults};
}

// Loads every component now, or looks at every file now and loads a component when it is needed.
// Throws as load_on; so do the calls of the pipeline, when a file has changed meanwhile.
template <Engine E>
StagedPipeline<E> load_staged_on(const std::filesystem::path& path,
                                 const LoadOptions& options = {}) {
    const auto parts = std::make_shared<const PartLoader<E>>(path, options);
    const Residency residency = options.residency;
    (void)parts->directory.folder("prior");
    ClipTokenizer tokenizer = parts->tokenizer();
    if (residency == Residency::in_turn) {
        parts->check_prior();
        parts->check();
    }
    return {std::move(tokenizer),
            {residency, [parts] { return parts->text_encoder(); }},
            {residency, [parts] { return parts->prior(); }},
            {residency, [parts] { return parts->decoder(); }},
            parts->upsampler(parts, residency),
            parts->configs.defaults};
}

// A pipeline whose engine was chosen at run time. Constant, cheap to move, and may be used from
// several threads at once.
class Pipeline : public AnyPipeline {
public:
    // `pipeline` is a TextToImage with ClipTokenizer.
    template <class Kind>
    Pipeline(std::shared_ptr<const Kind> pipeline, EngineKind engine, Residency residency)
        : AnyPipeline(pipeline, engine, residency),
          generate_(
              [pipeline](const std::vector<std::string>& prompts, const GenerateOptions& options) {
                  return pipeline->generate(prompts, options);
              }) {}

    Picture operator()(const std::string& prompt, const GenerateOptions& options = {}) const {
        return generate({prompt}, options).picture();
    }
    Generation generate(const std::vector<std::string>& prompts,
                        const GenerateOptions& options = {}) const {
        return generate_(prompts, options);
    }

private:
    std::function<Generation(const std::vector<std::string>&, const GenerateOptions&)> generate_;
};

// The pipeline in a model directory, which may also be named as in the hub's cache, "org/name".
// Throws as load_on; ConfigError for an engine that is not among `Engines`.
template <class Engines = FastEngines>
Pipeline load(const std::filesystem::path& path, const LoadOptions& options = {}) {
    return on_engine<Engines>(options.engine, [&]<Engine E>(std::type_identity<E>) {
        return Pipeline(std::make_shared<const StagedPipeline<E>>(load_staged_on<E>(path, options)),
                        kind_of_engine<E>, options.residency);
    });
}

// Programs can compile the pipelines once instead of in each of their files, which takes a minute
// for each: all define DALLE2_SEPARATE_PIPELINES, and one of them includes pipeline/separate.hpp.
#ifdef DALLE2_SEPARATE_PIPELINES
extern template Pipeline load<FastEngines>(const std::filesystem::path&, const LoadOptions&);
extern template Pipeline load<AllEngines>(const std::filesystem::path&, const LoadOptions&);
#endif

}  // namespace dalle2
