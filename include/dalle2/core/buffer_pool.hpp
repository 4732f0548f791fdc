// Memory for tensors, 64-byte aligned. Fresh pages cost more than the arithmetic of small models,
// so a pool keeps freed blocks and hands them out again: everything that happens in its scope, on
// this thread, reuses what earlier steps have freed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <unordered_map>
#include <utility>
#include <vector>

namespace dalle2 {

class BufferPool {
    // Shared with every block that is in use, so that blocks may outlive the pool.
    class FreeBlocks {
    public:
        FreeBlocks() = default;
        FreeBlocks(const FreeBlocks&) = delete;
        FreeBlocks& operator=(const FreeBlocks&) = delete;
        ~FreeBlocks() {
            for (auto& [bytes, blocks] : by_size_)
                for (void* block : blocks) ::operator delete(block, alignment);
        }

        void* take(std::size_t bytes) {
            {
                const std::lock_guard lock(mutex_);
                std::vector<void*>& blocks = by_size_[bytes];
                if (!blocks.empty()) {
                    void* block = blocks.back();
                    blocks.pop_back();
                    return block;
                }
            }
            return ::operator new(bytes, alignment);
        }
        void give_back(void* block, std::size_t bytes) {
            const std::lock_guard lock(mutex_);
            by_size_[bytes].push_back(block);
        }

    private:
        std::mutex mutex_;
        std::unordered_map<std::size_t, std::vector<void*>> by_size_;
    };

public:
    BufferPool() : free_(std::make_shared<FreeBlocks>()) {}

    // While it lives, allocations of this thread come from `pool`. Scopes may nest.
    class Scope {
    public:
        explicit Scope(const BufferPool& pool) : previous_(std::exchange(current(), pool.free_)) {}
        ~Scope() { current() = std::move(previous_); }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;

    private:
        std::shared_ptr<FreeBlocks> previous_;
    };

    // Uninitialised memory that goes back to its pool when the last owner lets go.
    static std::shared_ptr<void> allocate(std::size_t bytes) {
        bytes = (bytes + 63) / 64 * 64;
        if (const std::shared_ptr<FreeBlocks> free = current())
            return {free->take(bytes),
                    [free, bytes](void* block) { free->give_back(block, bytes); }};
        return {::operator new(bytes, alignment),
                [](void* block) { ::operator delete(block, alignment); }};
    }

    template <class T>
    static std::shared_ptr<T> allocate_array(std::int64_t count) {
        return std::static_pointer_cast<T>(allocate(static_cast<std::size_t>(count) * sizeof(T)));
    }

private:
    static constexpr std::align_val_t alignment{64};

    static std::shared_ptr<FreeBlocks>& current() {
        thread_local std::shared_ptr<FreeBlocks> pool;
        return pool;
    }

    std::shared_ptr<FreeBlocks> free_;
};

}  // namespace dalle2
