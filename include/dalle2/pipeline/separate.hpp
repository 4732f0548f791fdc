// The pipelines of every engine, for the one file of a program that compiles them where the others
// define DALLE2_SEPARATE_PIPELINES (see load.hpp). Parts of it may be compiled by several files:
// one that includes this with DALLE2_SEPARATE_PART as 1 (text to image), one as 2 (variations) and
// one as 3 (CLIP).
#pragma once

#ifndef DALLE2_SEPARATE_PART
#define DALLE2_SEPARATE_PART 0
#elif DALLE2_SEPARATE_PART < 1 || DALLE2_SEPARATE_PART > 3
#error "DALLE2_SEPARATE_PART is 1, 2 or 3"
#endif

#if DALLE2_SEPARATE_PART == 0 || DALLE2_SEPARATE_PART == 1
#include <dalle2/pipeline/load.hpp>

namespace dalle2 {
template Pipeline load<FastEngines>(const std::filesystem::path&, const LoadOptions&);
template Pipeline load<AllEngines>(const std::filesystem::path&, const LoadOptions&);
}  // namespace dalle2
#endif

#if DALLE2_SEPARATE_PART == 0 || DALLE2_SEPARATE_PART == 2
#include <dalle2/pipeline/load_variations.hpp>

namespace dalle2 {
template VariationsPipeline load_variations<FastEngines>(const std::filesystem::path&,
                                                         const LoadOptions&);
template VariationsPipeline load_variations<AllEngines>(const std::filesystem::path&,
                                                        const LoadOptions&);
}  // namespace dalle2
#endif

#if DALLE2_SEPARATE_PART == 0 || DALLE2_SEPARATE_PART == 3
#include <dalle2/pipeline/load_clip.hpp>

namespace dalle2 {
template Clip load_clip<FastEngines>(const std::filesystem::path&, const ClipLoadOptions&);
template Clip load_clip<AllEngines>(const std::filesystem::path&, const ClipLoadOptions&);
}  // namespace dalle2
#endif

#undef DALLE2_SEPARATE_PART
