// Memory for tensors, 64-byte aligned. Fresh pages cost more than the arithmetic of small models,
// so a pool keeps one stretch of memory for everything that happens in its scope, on this thread:
// each block of a step lies where another one of it, or of an earlier step, has been.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include <dalle2/core/arena.hpp>

namespace dalle2 {

namespace detail {

// A block of its own. A large one, of a network's weights, comes from the system and returns to it,
// so that what one network leaves is there for the next.
inline std::shared_ptr<void> allocate_outside(std::size_t bytes) {
    constexpr std::size_t large = std::size_t{1} << 20;
    constexpr std::align_val_t alignment{ArenaLayout::unit};
    if (bytes >= large) {
        auto memory = std::make_shared<ReservedMemory>(bytes);
        if (memory->open(bytes)) return {memory, memory->address()};
    }
    return {::operator new(bytes, alignment),
            [](void* block) { ::operator delete(block, alignment); }};
}

}  // namespace detail

class BufferPool {
public:
    // As much of its memory stays with a pool from one stage to the next.
    static constexpr std::size_t kept_bytes = std::size_t{32} << 20;

private:
    // Shared with every block that is in use, so that blocks may outlive the pool.
    class Memory {
    public:
        // Null when there is no room.
        void* take(std::size_t bytes) {
            const std::lock_guard lock(mutex_);
            if (!reserved_.address()) return nullptr;
            const std::size_t at = layout_.take(bytes);
            if (reserved_.open(layout_.end())) return reserved_.address() + at;
            layout_.give_back(at, bytes);
            return nullptr;
        }
        void give_back(void* block, std::size_t bytes) {
            const std::lock_guard lock(mutex_);
            layout_.give_back(
                static_cast<std::size_t>(static_cast<char*>(block) - reserved_.address()), bytes);
        }
        // What a small model needs again at once stays; the rest goes back to the system.
        void trim() {
            const std::lock_guard lock(mutex_);
            reserved_.forget_beyond(std::max(layout_.end(), kept_bytes));
        }
        std::size_t extent() const {
            const std::lock_guard lock(mutex_);
            return layout_.extent();
        }

    private:
        // Addresses, not memory: more than any computer has for one model.
        static constexpr std::size_t reserved_bytes =
            sizeof(void*) > 4 ? std::size_t{1} << 38 : std::size_t{1} << 30;

        mutable std::mutex mutex_;
        ArenaLayout layout_;
        ReservedMemory reserved_{reserved_bytes};
    };

public:
    // Where a scope of another pool is open on this thread, the memory is that pool's: the stages
    // of one call share it, one after the other.
    BufferPool() : memory_(current() ? current() : std::make_shared<Memory>()) {}
    ~BufferPool() { memory_->trim(); }
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;

    // The most memory that its blocks have taken at one time, in bytes, with the gaps between them.
    std::size_t peak_bytes() const { return memory_->extent(); }

    // While it lives, allocations of this thread come from `pool`. Scopes may nest.
    class Scope {
    public:
        explicit Scope(const BufferPool& pool)
            : previous_(std::exchange(current(), pool.memory_)) {}
        ~Scope() { current() = std::move(previous_); }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;

    private:
        std::shared_ptr<Memory> previous_;
    };

    // While it lives, allocations of this thread come from no pool: for what is to stay.
    class Outside {
    public:
        Outside() : previous_(std::exchange(current(), nullptr)) {}
        ~Outside() { current() = std::move(previous_); }
        Outside(const Outside&) = delete;
        Outside& operator=(const Outside&) = delete;

    private:
        std::shared_ptr<Memory> previous_;
    };

    // While it lives, what this thread allocates in no pool's scope lies together, in the system's
    // large pages wherever it has them: the weights of a large network, which come and go as one.
    // Reading them page by page costs a step up to a tenth of its time, nested in a virtual
    // machine.
    class Together {
    public:
        Together() : previous_(std::exchange(together(), std::make_shared<Memory>())) {}
        ~Together() {
            together()->trim();
            together() = std::move(previous_);
        }
        Together(const Together&) = delete;
        Together& operator=(const Together&) = delete;

    private:
        std::shared_ptr<Memory> previous_;
    };

    // Uninitialised memory that goes back to its pool when the last owner lets go.
    static std::shared_ptr<void> allocate(std::size_t bytes) {
        if (const std::shared_ptr<Memory> memory = current() ? current() : together())
            if (void* const block = memory->take(bytes))
                return {block, [memory, bytes](void* taken) { memory->give_back(taken, bytes); }};
        return detail::allocate_outside(bytes);
    }
    template <class T>
    static std::shared_ptr<T> allocate_array(std::int64_t count) {
        return std::static_pointer_cast<T>(allocate(static_cast<std::size_t>(count) * sizeof(T)));
    }

private:
    static std::shared_ptr<Memory>& current() {
        thread_local std::shared_ptr<Memory> memory;
        return memory;
    }

    static std::shared_ptr<Memory>& together() {
        thread_local std::shared_ptr<Memory> memory;
        return memory;
    }

    std::shared_ptr<Memory> memory_;
};

}  // namespace dalle2
