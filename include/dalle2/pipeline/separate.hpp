// The pipelines of every engine, for the one file of a program that compiles them where the others
// define DALLE2_SEPARATE_PIPELINES (see load.hpp).
#pragma once

#include <dalle2/pipeline/load.hpp>
#include <dalle2/pipeline/load_clip.hpp>
#include <dalle2/pipeline/load_variations.hpp>

namespace dalle2 {

template Pipeline load<FastEngines>(const std::filesystem::path&, const LoadOptions&);
template Pipeline load<AllEngines>(const std::filesystem::path&, const LoadOptions&);

template VariationsPipeline load_variations<FastEngines>(const std::filesystem::path&,
                                                         const LoadOptions&);
template VariationsPipeline load_variations<AllEngines>(const std::filesystem::path&,
                                                        const LoadOptions&);

template Clip load_clip<FastEngines>(const std::filesystem::path&, const ClipLoadOptions&);
template Clip load_clip<AllEngines>(const std::filesystem::path&, const ClipLoadOptions&);

}  // namespace dalle2
