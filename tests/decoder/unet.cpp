#include <dalle2/decoder/unet.hpp>
#include <dalle2/decoder/unet_times.hpp>

#include <doctest/doctest.h>

#include <dalle2/engine/cpu.hpp>
#include <dalle2/engine/reference.hpp>

#include "../pipeline/tiny_model.hpp"

using namespace dalle2;

namespace {

double largest_difference(const Array& a, const Array& b) {
    REQUIRE(shape_of(a) == shape_of(b));
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        largest = std::max(largest, std::abs(double{a.data()[i]} - double{b.data()[i]}));
    return largest;
}

}  // namespace

TEST_CASE_TEMPLATE("A step from what was prepared is the whole network's output", E, Reference,
                   Cpu<float>) {
    const UNet<E> unet = tiny_model::decoder<E>();
    TorchGenerator generator(1);
    const auto random = [&](const Shape& shape) { return E::from_array(generator.normal(shape)); };
    // The first row of the condition stands for two pictures.
    const auto tokens = random({2, 4, 10}), added_time = random({2, 32});
    const std::vector<std::int32_t> keep = {1, 1, 0, 0, 1, 1, 1, 1};
    const auto x = random({3, 4, 6, 3});

    const auto all_tokens = repeat_first<E>(tokens, 2), all_times = repeat_first<E>(added_time, 2);
    const std::vector<std::int32_t> all_keep = {1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1};
    const auto context = unet.prepare({.tokens = &tokens, .keep = keep}, 4, 6, 2);
    CHECK(context.masks.size() == context.seen.size());
    // More steps than are prepared at a time.
    std::vector<std::int64_t> timesteps;
    for (std::int64_t i = 0; i < 70; ++i) timesteps.push_back(990 - 14 * i);
    UNetTimes<E> times(unet, timesteps, 3, &all_times);
    for (const std::size_t step : {0u, 1u, 31u, 32u, 69u}) {
        const auto t = static_cast<double>(timesteps[step]);
        const Array expected = E::to_array(unet(x, std::vector<double>{t, t, t}, &all_times,
                                                {.tokens = &all_tokens, .keep = all_keep}));
        const Array found =
            E::to_array(unet(x, times.at(static_cast<std::int64_t>(step)), context));
        CHECK(largest_difference(found, expected) < 2e-5);
    }
}

TEST_CASE("Without padding there is no mask, and a UNet with attention asks for a context") {
    using E = Reference;
    const UNet<E> unet = tiny_model::decoder<E>();
    const Array tokens = TorchGenerator(1).normal(Shape{2, 4, 10});
    const std::vector<std::int32_t> keep(8, 1);
    CHECK(unet.prepare({.tokens = &tokens, .keep = keep}, 8, 8).masks.empty());
    CHECK(unet.prepare({.tokens = &tokens}, 8, 8).masks.empty());
    CHECK_THROWS_AS(unet.prepare(UNetContext<E>{}, 8, 8), ShapeError);
}
