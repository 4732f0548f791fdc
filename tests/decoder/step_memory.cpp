// A forward pass after the first takes no memory: tensors and the kernels' scratch lie where those
// of the first were.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <vector>

#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/core/thread_scope.hpp>
#include <dalle2/engine/cpu.hpp>

#include "../pipeline/tiny_model.hpp"

using namespace dalle2;

namespace {

// Shapes and names of a few bytes are not what this is about.
constexpr std::size_t large = 2048;
std::atomic<int> large_allocations = 0;

void* allocate(std::size_t bytes, std::size_t alignment) {
    if (bytes >= large) ++large_allocations;
    const std::size_t rounded = (bytes + alignment) / alignment * alignment;
    if (void* const block = std::aligned_alloc(alignment, rounded)) return block;
    throw std::bad_alloc();
}

}  // namespace

// Of the whole test program: they count besides.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
    return allocate(bytes, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return allocate(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* block) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t, std::align_val_t) noexcept {
    std::free(block);
}

TEST_CASE_TEMPLATE("a step after the first allocates neither tensors nor scratch", T, float,
                   bfloat16) {
    using E = Cpu<T>;
    for (const int threads : {1, 2}) {
        const ThreadScope scope(threads);
        const auto unet = tiny_model::decoder<E>();
        const BufferPool pool;
        const BufferPool::Scope in_pool(pool);
        const auto x = E::from_array(TorchGenerator(1).normal({2, 32, 32, 3}));
        const auto tokens = E::from_array(TorchGenerator(2).normal({2, 5, 10}));
        const auto time = E::from_array(TorchGenerator(3).normal({2, 32}));
        const std::vector<double> timesteps = {3, 3};
        const auto step = [&] { return unet(x, timesteps, &time, {.tokens = &tokens}); };

        int before = large_allocations;
        step();
        const std::size_t taken = pool.peak_bytes();
        CHECK(taken > 100'000);
        for (int i = 0; i < 3; ++i) {
            before = large_allocations;
            step();
            CHECK(large_allocations == before);
            CHECK(pool.peak_bytes() == taken);
        }
        // Without a pool each tensor is an allocation, which shows that they are counted.
        const BufferPool::Outside outside;
        before = large_allocations;
        step();
        CHECK(large_allocations > before + 20);
    }
}
