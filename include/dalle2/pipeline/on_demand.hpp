// Parts of a pipeline that may be in memory only while a call uses them, for models larger than the
// memory that they may take.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#if defined(__GLIBC__)  // known from the headers above
#include <malloc.h>
#endif

#include <dalle2/core/array.hpp>
#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/pipeline/encoded_text.hpp>

namespace dalle2 {

// What of a model is in memory between calls: all of it; or nothing, each network being loaded when
// its turn comes and released after it. The pictures are the same.
enum class Residency { whole, in_turn };

namespace detail {

// The small weights of a network leave gaps, which glibc would keep, and which the next network's
// do not fill.
inline void return_freed_memory() {
#if defined(__GLIBC__)
    ::malloc_trim(0);
#endif
}

}  // namespace detail

// Stands for a Part in a slot of a pipeline, or for a network in a part. Copies, and calls from
// several threads at once, share one.
template <class Part>
class OnDemand {
public:
    // A part that stays in memory.
    OnDemand(Part part) : state_(std::make_shared<State>()) {
        state_->kept = std::make_shared<const Part>(std::move(part));
        state_->part = state_->kept;
    }
    // `load` makes the part: now, for good, or whenever a call needs it and no other call has it.
    // Then it may be called from any thread, but not from two at once.
    OnDemand(Residency residency, std::function<Part()> load) : state_(std::make_shared<State>()) {
        state_->load = std::move(load);
        if (residency == Residency::whole) state_->kept = get();
    }

    // The part, for as long as the result is held. Throws what `load` throws.
    std::shared_ptr<const Part> get() const {
        const std::lock_guard lock(state_->mutex);
        if (auto part = state_->part.lock()) return part;
        const BufferPool::Outside outside;  // the part may outlive the call that asks for it
        // Not make_shared: its block would keep the part's memory until the last weak reference.
        std::shared_ptr<const Part> part(new Part(state_->load()), [](const Part* released) {
            delete released;
            detail::return_freed_memory();
        });
        state_->part = part;
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
        std::weak_ptr<const Part> part;    // while somebody has it
        std::shared_ptr<const Part> kept;  // null when the part is made anew for each use
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
