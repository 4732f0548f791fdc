// From a model directory to a pipeline for variations of pictures: one that has an image encoder,
// with a prior (as UnCLIPPipeline) or without (as UnCLIPImageVariationPipeline).
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include <dalle2/engine/on_engine.hpp>
#include <dalle2/pipeline/any_pipeline.hpp>
#include <dalle2/pipeline/image_variations.hpp>
#include <dalle2/pipeline/on_demand.hpp>
#include <dalle2/pipeline/part_loader.hpp>

namespace dalle2 {

template <Engine E>
using StandardVariations = ImageVariations<ClipTokenizer, ClipTextEncoder<E>, ClipPictureEncoder<E>,
                                           Decoder<E, AnySampler>, Upsampler<E, AnySampler>>;

// The same, each network in memory for good or only while a call uses it.
template <Engine E>
using StagedVariations =
    ImageVariations<ClipTokenizer, OnDemand<ClipTextEncoder<E>>, OnDemand<ClipPictureEncoder<E>>,
                    OnDemand<Decoder<E, AnySampler>>, Upsampler<E, AnySampler>>;

// Both throw IoError for what is missing, FormatError for damaged files, ConfigError for what is
// not supported or does not fit together.
template <Engine E>
StandardVariations<E> load_variations_on(const std::filesystem::path& path,
                                         const LoadOptions& options = {}) {
    const PartLoader<E> parts(path, options);
    (void)parts.directory.folder("image_encoder");  // before the first weights are read
    return {parts.tokenizer(), parts.text_encoder(), parts.picture_encoder(),
            parts.decoder(),   parts.upsampler(),    parts.configs.defaults};
}

// Loads every component now, or looks at every file now and loads a component when it is needed.
template <Engine E>
StagedVariations<E> load_staged_variations_on(const std::filesystem::path& path,
                                              const LoadOptions& options = {}) {
    const auto parts = std::make_shared<const PartLoader<E>>(path, options);
    const Residency residency = options.residency;
    (void)parts->directory.folder("image_encoder");
    ClipTokenizer tokenizer = parts->tokenizer();
    if (residency == Residency::in_turn) {
        parts->check_picture_encoder();
        parts->check();
    }
    return {std::move(tokenizer),
            {residency, [parts] { return parts->text_encoder(); }},
            {residency, [parts] { return parts->picture_encoder(); }},
            {residency, [parts] { return parts->decoder(); }},
            parts->upsampler(parts, residency),
            parts->configs.defaults};
}

// A pipeline for variations whose engine was chosen at run time. Constant, cheap to move, and may
// be used from several threads at once.
class VariationsPipeline : public AnyPipeline {
public:
    // `pipeline` is an ImageVariations with ClipTokenizer.
    template <class Kind>
    VariationsPipeline(std::shared_ptr<const Kind> pipeline, EngineKind engine, Residency residency)
        : AnyPipeline(pipeline, engine, residency),
          of_pictures_(
              [pipeline](const std::vector<Picture>& pictures, const GenerateOptions& options) {
                  return pipeline->generate(pictures, options);
              }),
          of_embeddings_([pipeline](const Array& image_embedding, const GenerateOptions& options) {
              return pipeline->generate(image_embedding, options);
          }) {}

    Picture operator()(const Picture& picture, const GenerateOptions& options = {}) const {
        return generate({picture}, options).picture();
    }
    Generation generate(const std::vector<Picture>& pictures,
                        const GenerateOptions& options = {}) const {
        return of_pictures_(pictures, options);
    }
    Generation generate(const Array& image_embedding, const GenerateOptions& options = {}) const {
        return of_embeddings_(image_embedding, options);
    }

private:
    std::function<Generation(const std::vector<Picture>&, const GenerateOptions&)> of_pictures_;
    std::function<Generation(const Array&, const GenerateOptions&)> of_embeddings_;
};

// The pipeline in a model directory, or in the hub's cache under a name, "org/name". Throws also
// ConfigError for an engine that is not among `Engines`.
template <class Engines = FastEngines>
VariationsPipeline load_variations(const std::filesystem::path& path,
                                   const LoadOptions& options = {}) {
    return on_engine<Engines>(options.engine, [&]<Engine E>(std::type_identity<E>) {
        return VariationsPipeline(std::make_shared<const StagedVariations<E>>(
                                      load_staged_variations_on<E>(path, options)),
                                  kind_of_engine<E>, options.residency);
    });
}

// See load.
#ifdef DALLE2_SEPARATE_PIPELINES
extern template VariationsPipeline load_variations<FastEngines>(const std::filesystem::path&,
                                                                const LoadOptions&);
extern template VariationsPipeline load_variations<AllEngines>(const std::filesystem::path&,
                                                               const LoadOptions&);
#endif

}  // namespace dalle2
