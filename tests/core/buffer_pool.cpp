// Memory that is used again.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <thread>

#include <dalle2/core/buffer_pool.hpp>

using namespace dalle2;

TEST_CASE("in a pool's scope a block lies where the last one was, and outside of it nothing does") {
    const BufferPool pool;
    const BufferPool::Scope scope(pool);
    void* const place = BufferPool::allocate(5000).get();
    CHECK(BufferPool::allocate(5000).get() == place);
    const std::shared_ptr<void> kept = BufferPool::allocate(5000);
    CHECK(BufferPool::allocate(5000).get() != place);
    CHECK(pool.peak_bytes() == 2 * 5056);
    const BufferPool::Outside outside;
    const std::shared_ptr<void> apart = BufferPool::allocate(5000);
    CHECK(reinterpret_cast<std::uintptr_t>(apart.get()) % 64 == 0);
    CHECK(pool.peak_bytes() == 2 * 5056);
}

TEST_CASE("a pool inside of another one's scope shares its memory") {
    const BufferPool outer;
    const BufferPool::Scope scope(outer);
    void* const place = BufferPool::allocate(300).get();
    {
        const BufferPool inner;
        const BufferPool::Scope inner_scope(inner);
        CHECK(BufferPool::allocate(300).get() == place);
    }
    CHECK(BufferPool::allocate(300).get() == place);
}

TEST_CASE("a block outlives its pool, and may be given back by another thread") {
    std::shared_ptr<char> block;
    {
        const BufferPool pool;
        const BufferPool::Scope scope(pool);
        block = BufferPool::allocate_array<char>(100);
        std::shared_ptr<char> other = BufferPool::allocate_array<char>(100);
        std::jthread([other = std::move(other)]() mutable { other = nullptr; }).join();
    }
    block.get()[99] = 1;
    CHECK(block.get()[99] == 1);
}

TEST_CASE("a large block outside of pools is aligned and usable to its end") {
    constexpr std::int64_t count = 3'000'001;
    const std::shared_ptr<char> block = BufferPool::allocate_array<char>(count);
    CHECK(reinterpret_cast<std::uintptr_t>(block.get()) % 64 == 0);
    block.get()[0] = block.get()[count - 1] = 1;
    CHECK(block.get()[count - 1] == 1);
}

TEST_CASE("what is allocated together lies together, outside of pools, and stays") {
    std::shared_ptr<char> first, second;
    const BufferPool pool;
    const BufferPool::Scope scope(pool);
    {
        const BufferPool::Together together;
        CHECK(BufferPool::allocate(5000) != nullptr);
        CHECK(pool.peak_bytes() == 5056);  // a pool comes first
        const BufferPool::Outside outside;
        first = BufferPool::allocate_array<char>(3 << 20);
        second = BufferPool::allocate_array<char>(3 << 20);
        CHECK(second.get() - first.get() == 3 << 20);
    }
    CHECK(pool.peak_bytes() == 5056);
    std::fill_n(first.get(), 3 << 20, 'a');
    std::fill_n(second.get(), 3 << 20, 'b');
    first.reset();
    CHECK(second.get()[0] == 'b');
    CHECK(second.get()[(3 << 20) - 1] == 'b');
}
