// A pipeline whose engine and residency were chosen at run time: one of several types behind one
// visitor.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>
#include <variant>

#include <dalle2/engine/engine_kind.hpp>
#include <dalle2/engine/on_engine.hpp>
#include <dalle2/pipeline/generate_options.hpp>
#include <dalle2/pipeline/part_loader.hpp>
#include <dalle2/text/clip_tokenizer.hpp>

namespace dalle2 {

// Kinds: a pipeline of each engine in the order of EngineKind, all in memory; then the same with
// networks on demand.
template <class... Kinds>
class AnyPipeline {
public:
    template <class Kind>
        requires(std::is_same_v<Kind, Kinds> || ...)
    explicit AnyPipeline(Kind pipeline) : pipeline_(std::move(pipeline)) {}

    // Calls function(pipeline) with the pipeline as the type that it is.
    template <class Function>
    decltype(auto) visit(Function&& function) const {
        return std::visit(std::forward<Function>(function), pipeline_);
    }

    EngineKind engine() const { return static_cast<EngineKind>(pipeline_.index() % engines); }
    // Are all networks in memory, or each only while it is used?
    Residency residency() const {
        return pipeline_.index() < engines ? Residency::whole : Residency::in_turn;
    }
    const ClipTokenizer& tokenizer() const {
        return visit(
            [](const auto& pipeline) -> const ClipTokenizer& { return pipeline.tokenizer; });
    }
    const GenerationDefaults& defaults() const {
        return visit(
            [](const auto& pipeline) -> const GenerationDefaults& { return pipeline.defaults; });
    }

private:
    static constexpr std::size_t engines = sizeof...(Kinds) / 2;
    std::variant<Kinds...> pipeline_;
};

}  // namespace dalle2
