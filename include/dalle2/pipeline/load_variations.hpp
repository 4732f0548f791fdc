// From a model directory to a pipeline for variations of pictures: one that has an image encoder,
// with a prior (as UnCLIPPipeline) or without (as UnCLIPImageVariationPipeline).
#pragma once

#include <filesystem>
#include <memory>
#include <type_traits>
#include <vector>

#include <dalle2/pipeline/any_pipeline.hpp>
#include <dalle2/pipeline/image_variations.hpp>
#include <dalle2/pipeline/on_demand.hpp>
#include <dalle2/pipeline/part_loader.hpp>

namespace dalle2 {

template <Engine E>
using StandardVariations = ImageVariations<ClipTokenizer, ClipTextEncoder<E>, ClipPictureEncoder<E>,
                                           Decoder<E, AnySampler>, Upsampler<E, AnySampler>>;

// The same, each network in memory only while a call uses it.
template <Engine E>
using StagedVariations =
    ImageVariations<ClipTokenizer, OnDemand<ClipTextEncoder<E>>, OnDemand<ClipPictureEncoder<E>>,
                    OnDemand<Decoder<E, AnySampler>>, OnDemand<Upsampler<E, AnySampler>>>;

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

// Looks at every file now, and loads a component when it is needed.
template <Engine E>
StagedVariations<E> load_staged_variations_on(const std::filesystem::path& path,
                                              const LoadOptions& options = {}) {
    const auto parts = std::make_shared<const PartLoader<E>>(path, options);
    parts->check_picture_encoder();
    parts->check();
    return {parts->tokenizer(),
            OnDemand<ClipTextEncoder<E>>([parts] { return parts->text_encoder(); }),
            OnDemand<ClipPictureEncoder<E>>([parts] { return parts->picture_encoder(); }),
            OnDemand<Decoder<E, AnySampler>>([parts] { return parts->decoder(); }),
            OnDemand<Upsampler<E, AnySampler>>([parts] { return parts->upsampler(); }),
            parts->configs.defaults};
}

// A pipeline for variations whose engine was chosen at run time. Constant, cheap to move, and may
// be used from several threads at once.
class VariationsPipeline
    : public AnyPipeline<StandardVariations<Reference>, StandardVariations<Cpu<float>>,
                         StandardVariations<Cpu<bfloat16>>, StandardVariations<Cpu<std::int8_t>>,
                         StagedVariations<Reference>, StagedVariations<Cpu<float>>,
                         StagedVariations<Cpu<bfloat16>>, StagedVariations<Cpu<std::int8_t>>> {
public:
    using AnyPipeline::AnyPipeline;

    Picture operator()(const Picture& picture, const GenerateOptions& options = {}) const {
        return visit([&](const auto& pipeline) { return pipeline(picture, options); });
    }
    Generation generate(const std::vector<Picture>& pictures,
                        const GenerateOptions& options = {}) const {
        return visit([&](const auto& pipeline) { return pipeline.generate(pictures, options); });
    }
    Generation generate(const Array& image_embedding, const GenerateOptions& options = {}) const {
        return visit(
            [&](const auto& pipeline) { return pipeline.generate(image_embedding, options); });
    }
};

// The pipeline in a model directory, or in the hub's cache under a name, "org/name".
inline VariationsPipeline load_variations(const std::filesystem::path& path,
                                          const LoadOptions& options = {}) {
    return on_engine(options.engine, [&]<Engine E>(std::type_identity<E>) {
        return options.residency == Residency::whole
                   ? VariationsPipeline(load_variations_on<E>(path, options))
                   : VariationsPipeline(load_staged_variations_on<E>(path, options));
    });
}

}  // namespace dalle2
