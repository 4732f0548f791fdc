// A step after the first takes no memory, in every network that runs in steps: tensors and the
// kernels' scratch lie where those of the first were.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/core/thread_scope.hpp>
#include <dalle2/engine/cpu_int8.hpp>

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

namespace {

// Small networks gain nothing from int8 and would stay in bfloat16: here the file asks for it.
template <class E, class Module>
Module as_in_file(Module module) {
    if constexpr (std::is_same_v<E, Cpu<std::int8_t>>) {
        int int8_weights = 0;
        for_each_parameter(module, [&](const std::string& name, Int8Parameter& parameter) {
            const Array values = E::store(parameter);
            E::load(parameter, values, {name, WeightOrigin::Precision::int8});
            int8_weights += parameter.is_int8();
        });
        CHECK(int8_weights > 10);
    }
    return module;
}

// `prepare` makes what stays the same in every step, and returns the step.
template <class Prepare>
void check_steps(const Prepare& prepare) {
    for (const int threads : {1, 2}) {
        CAPTURE(threads);
        const ThreadScope scope(threads);
        const BufferPool pool;
        const BufferPool::Scope in_pool(pool);
        const auto step = prepare();
        step();
        const std::size_t taken = pool.peak_bytes();
        CHECK(taken > 100'000);
        for (int i = 0; i < 3; ++i) {
            const int before = large_allocations;
            step();
            CHECK(large_allocations == before);
            CHECK(pool.peak_bytes() == taken);
        }
        // Without a pool each tensor is an allocation, which shows that they are counted.
        const BufferPool::Outside outside;
        const int before = large_allocations;
        step();
        CHECK(large_allocations > before + 20);
    }
}

template <class E>
typename E::Tensor random(const Shape& shape, std::uint64_t seed) {
    return E::from_array(TorchGenerator(seed).normal(shape));
}

// Few pictures of many pixels, and so many that even a byte or two of each would be seen.
struct Pictures {
    std::int64_t batch, size;
};
constexpr Pictures few = {2, 32}, many = {600, 8};

}  // namespace

TEST_CASE_TEMPLATE("the decoder's steps after the first allocate neither tensors nor scratch", T,
                   float, bfloat16, std::int8_t) {
    using E = Cpu<T>;
    const auto unet = as_in_file<E>(tiny_model::decoder<E>());
    for (const auto& [batch, size] : {few, many}) {
        CAPTURE(batch);
        check_steps([&unet, batch = batch, size = size] {
            // With guidance: the first row of the context stands for half of the pictures.
            const std::int64_t texts = batch / 2 + 1, tokens = 5;
            std::vector<std::int32_t> keep(static_cast<std::size_t>(texts * tokens), 1);
            keep[2] = 0;  // padding, so that there is a mask
            const auto context_tokens = random<E>({texts, tokens, 10}, 2);
            auto context =
                unet.prepare({.tokens = &context_tokens, .keep = keep}, size, size, batch / 2);
            const auto added_time = random<E>({batch, 32}, 3);
            auto time = unet.prepare(std::vector<double>(static_cast<std::size_t>(batch), 3), batch,
                                     &added_time);
            return [&unet, x = random<E>({batch, size, size, 3}, 1), context = std::move(context),
                    time = std::move(time)] { unet(x, time.front(), context); };
        });
    }
}

TEST_CASE_TEMPLATE("the upsampler's steps after the first allocate neither tensors nor scratch", T,
                   float, bfloat16, std::int8_t) {
    using E = Cpu<T>;
    const auto unet = as_in_file<E>(tiny_model::upsampler_first<E>());
    for (const auto& [batch, size] : {few, many}) {
        CAPTURE(batch);
        check_steps([&unet, batch = batch, size = size] {
            auto time =
                unet.prepare(std::vector<double>(static_cast<std::size_t>(batch), 3), batch);
            return [&unet, x = random<E>({batch, size, size, 3}, 1),
                    enlarged = random<E>({batch, size, size, 3}, 2), time = std::move(time)] {
                unet(E::concatenate({x, enlarged}, -1), time.front());
            };
        });
    }
}

TEST_CASE_TEMPLATE("the prior's steps after the first allocate neither tensors nor scratch", T,
                   float, bfloat16, std::int8_t) {
    using E = Cpu<T>;
    const auto prior = as_in_file<E>(tiny_model::prior<E>());
    check_steps([&prior] {
        const std::int64_t batch = 600, texts = batch / 2 + 1, tokens = 5;
        std::vector<std::int32_t> keep(static_cast<std::size_t>(texts * tokens), 1);
        keep[2] = 0;
        auto text =
            prior.prepare(random<E>({texts, tiny_model::width}, 2),
                          random<E>({texts, tokens, tiny_model::width}, 3), keep, batch / 2);
        return [&prior, batch, x = random<E>({batch, tiny_model::width}, 1),
                times = prior.prepare(std::vector<double>{7, 3}), text = std::move(text)] {
            prior(x, E::repeat(E::slice(times, 0, 1, 2), batch), text);
        };
    });
}
