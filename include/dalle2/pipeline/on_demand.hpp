// Parts of a pipeline that are in memory only while a call uses them, for models larger than the
// memory that they may take.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include <dalle2/core/array.hpp>
#include <dalle2/pipeline/encoded_text.hpp>

namespace dalle2 {

// Stands for a Part in a slot of a pipeline. Calls from several threads at once share one.
template <class Part>
class OnDemand {
public:
    // `load` makes the part whenever a call needs it and no other call has it; it may be called
    // from any thread, but not from two at once.
    explicit OnDemand(std::function<Part()> load) : state_(std::make_shared<State>()) {
        state_->load = std::move(load);
    }

    // The part, for as long as the result is held. Throws what `load` throws.
    std::shared_ptr<const Part> get() const {
        const std::lock_guard lock(state_->mutex);
        if (auto part = state_->in_use.lock()) return part;
        // Not make_shared: its block would keep the part's memory until the last weak reference.
        std::shared_ptr<const Part> part(new Part(state_->load()));
        state_->in_use = part;
        return part;
    }

    template <class... Arguments>
    Array sample(Arguments&&... arguments) const {
        return get()->sample(std::forward<Arguments>(arguments)...);
    }

private:
    struct State {
        std::function<Part()> load;
        std::mutex mutex;
        std::weak_ptr<const Part> in_use;
    };
    std::shared_ptr<State> state_;
};

template <Engine E>
EncodedText encode_text(const OnDemand<ClipTextEncoder<E>>& text_encoder,
                        const TokenBatch& tokens) {
    return encode_text(*text_encoder.get(), tokens);
}

// A part for several uses in a row, so that one on demand is made once for all of them.
template <class Part>
const Part* in_use(const Part& part) {
    return &part;
}
template <class Part>
std::shared_ptr<const Part> in_use(const OnDemand<Part>& part) {
    return part.get();
}

}  // namespace dalle2
