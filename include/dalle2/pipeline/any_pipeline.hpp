// A pipeline whose engine and residency were chosen at run time.
#pragma once

#include <memory>

#include <dalle2/engine/engine_kind.hpp>
#include <dalle2/pipeline/generate_options.hpp>
#include <dalle2/pipeline/on_demand.hpp>
#include <dalle2/text/clip_tokenizer.hpp>

namespace dalle2 {

// What such pipelines have in common, whatever they make pictures of. The type of the pipeline is
// forgotten here: all of them share one copy of everything that calls them.
class AnyPipeline {
public:
    EngineKind engine() const { return engine_; }
    // Are all networks in memory, or each only while it is used?
    Residency residency() const { return residency_; }
    const ClipTokenizer& tokenizer() const { return *tokenizer_; }
    const GenerationDefaults& defaults() const { return defaults_; }

protected:
    template <class Kind>
    AnyPipeline(const std::shared_ptr<const Kind>& pipeline, EngineKind engine, Residency residency)
        : engine_(engine),
          residency_(residency),
          tokenizer_(pipeline, &pipeline->tokenizer),
          defaults_(pipeline->defaults) {}

private:
    EngineKind engine_;
    Residency residency_;
    std::shared_ptr<const ClipTokenizer> tokenizer_;
    GenerationDefaults defaults_;
};

}  // namespace dalle2
