#include <dalle2/core/random.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <set>

using namespace dalle2;

namespace {

std::vector<std::uint32_t> bit_patterns(std::span<const float> values) {
    std::vector<std::uint32_t> bits;
    for (const float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value));
    return bits;
}

std::vector<std::uint32_t> draw(TorchGenerator& generator, std::size_t count) {
    std::vector<float> values(count);
    generator.normal(values);
    return bit_patterns(values);
}

using Bits = std::vector<std::uint32_t>;

}  // namespace

// The numbers of this file come from PyTorch 2.6 on a CPU with AVX2.

TEST_CASE("TorchGenerator repeats torch.randn bit for bit below, at and above sixteen values") {
    TorchGenerator generator(7);
    CHECK(draw(generator, 5) ==
          Bits{0xbe165174u, 0x3f49408eu, 0x3f7262e7u, 0xbf8ea2d3u, 0x3fd86bd0u});
    // The sixth number is the second of a pair whose first ended the last call.
    CHECK(draw(generator, 4) == Bits{0xbf651371u, 0xbeb6147cu, 0x3f9dbed1u, 0x3e0d7d22u});
    // Nineteen: one block, then the last sixteen drawn anew.
    CHECK(draw(generator, 19) == Bits{0x3e4b352eu, 0x3f4835eau, 0x3f85017bu, 0xbf1b0dddu,
                                      0xbe0aaff8u, 0x3f3f4324u, 0x3f1c9ff5u, 0x3fef1388u,
                                      0x4020be1au, 0xbfa09ccdu, 0x3f51034bu, 0x3e852377u,
                                      0xbfd189eau, 0x3e217f3bu, 0x3eca9e8eu, 0xbfaf1218u,
                                      0xbdce4dcbu, 0x3e72b3f4u, 0x3f21f774u});
    // The waiting half of a pair survives a vectorised call.
    CHECK(draw(generator, 2) == Bits{0xbfd75248u, 0x401a6e45u});
    std::vector<float> uniform(3);
    generator.uniform(uniform);
    CHECK(bit_patterns(uniform) == Bits{0x3f38a990u, 0x3ee1faecu, 0x3f0e179fu});
}

TEST_CASE("TorchGenerator repeats torch.randn over more numbers than its state has") {
    TorchGenerator generator((std::uint64_t{5} << 32) + 3);
    const Array values = generator.normal(Shape{40, 40});
    const Bits bits = bit_patterns({values.data(), values.size()});
    CHECK(Bits(bits.begin(), bits.begin() + 3) == Bits{0xbd9cf7afu, 0x3eb84264u, 0xbf483241u});
    CHECK(Bits(bits.end() - 2, bits.end()) == Bits{0xbf8e4e3du, 0x3eeb5ce3u});
    std::uint64_t sum = 0;
    for (const std::uint32_t word : bits) sum += word;
    CHECK(sum == 3496026103609u);
}

TEST_CASE("TorchGenerator repeats torch.randn in bfloat16 and float16, which are other streams") {
    struct Expected {
        NoiseType type;
        std::vector<float> five, nineteen;
        std::uint64_t sum;  // of 4000 numbers' bits, each times its place modulo 97, plus 1
    };
    const std::vector<Expected> all = {
        {NoiseType::bf16,
         {-0.146484375f, 0.78515625f, 0.9453125f, -1.1171875f, 1.6875f},
         {-0.08203125f, -0.359375f, -1.0625f, -1.5078125f, 0.609375f, -0.14453125f,
          0.005035400390625f, 0.47265625f, 0.26171875f, 0.35546875f, 0.5390625f, 0.62109375f,
          -0.07763671875f, -1.6484375f, -0.79296875f, 0.5234375f, 1.3203125f, -1.546875f,
          -1.46875f},
         6273148284u},
        {NoiseType::f16,
         {-0.1468505859375f, 0.7861328125f, 0.94677734375f, -1.1142578125f, 1.6904296875f},
         {-1.7158203125f, -0.146484375f, 0.57861328125f, -1.49609375f, -0.845703125f, -1.611328125f,
          1.4384765625f, 1.3583984375f, 0.7529296875f, 0.35302734375f, -0.1710205078125f,
          -0.5341796875f, 0.87060546875f, -1.0537109375f, -0.287353515625f, 1.6748046875f,
          1.068359375f, 0.25f, -1.103515625f},
         5879430182u}};
    for (const Expected& expected : all) {
        TorchGenerator generator(7, expected.type);
        std::vector<float> values(5);
        generator.normal(values);
        CHECK(values == expected.five);
        values.resize(19);
        generator.normal(values);
        CHECK(values == expected.nineteen);

        TorchGenerator other(3, expected.type);
        values.resize(4000);
        other.normal(values);
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < values.size(); ++i) {
            const std::uint16_t bits =
                expected.type == NoiseType::bf16
                    ? std::bit_cast<std::uint16_t>(static_cast<bfloat16>(values[i]))
                    : std::bit_cast<std::uint16_t>(static_cast<float16>(values[i]));
            sum += bits * (i % 97 + 1);
        }
        CHECK(sum == expected.sum);
    }
}

TEST_CASE("TorchGenerator takes the lower 32 bits of a seed, as PyTorch does") {
    CHECK(TorchGenerator(3) == TorchGenerator((std::uint64_t{5} << 32) + 3));
    TorchGenerator generator((std::uint64_t{1} << 63) + 11);
    std::vector<float> uniform(2);
    generator.uniform(uniform);
    CHECK(bit_patterns(uniform) == Bits{0x3e189e64u, 0x3ef91d7eu});
}

TEST_CASE("A saved TorchGenerator goes on with the same numbers") {
    for (const std::size_t drawn : {0u, 3u, 16u, 700u}) {  // three leaves half a pair
        TorchGenerator generator(1);
        draw(generator, drawn);
        const auto state = generator.state();
        TorchGenerator restored = TorchGenerator::from_state(state);
        CHECK(draw(restored, 5) == draw(generator, 5));
        CHECK(draw(restored, 50) == draw(generator, 50));
    }
}

TEST_CASE("A damaged state of a TorchGenerator is refused") {
    auto state = TorchGenerator(1).state();
    state[624] = 625;
    CHECK_THROWS_AS(TorchGenerator::from_state(state), FormatError);
    state.resize(10);
    CHECK_THROWS_AS(TorchGenerator::from_state(state), FormatError);
}

TEST_CASE("The logarithm, sine and cosine behind the normals are right to float precision") {
    for (int i = 0; i < 20000; ++i) {
        const float u = (static_cast<float>(i) + 0.5f) / 20000.0f;
        const double log = std::log(static_cast<double>(u));
        CHECK(std::abs(detail::cephes_log(u) - log) <= 2e-7 * std::abs(log) + 1e-12);
        const float x = u * 6.283185307179586f;
        const auto [sine, cosine] = detail::cephes_sin_cos(x);
        CHECK(std::abs(sine - std::sin(static_cast<double>(x))) < 1.5e-7);
        CHECK(std::abs(cosine - std::cos(static_cast<double>(x))) < 1.5e-7);
    }
    // The smallest uniform that is not zero, and the largest.
    CHECK(detail::box_muller(0.0f, 0.25f).first == 0.0f);
    CHECK(std::isfinite(detail::box_muller(1.0f - 0x1p-24f, 0.0f).first));
}

TEST_CASE("The fused multiply-add rounds once, halfway cases included") {
    const CounterGenerator generator(3);
    for (std::uint64_t i = 0; i < 100000; ++i) {
        const float a = generator.normal(3 * i), b = generator.normal(3 * i + 1),
                    c = generator.normal(3 * i + 2);
        if (detail::fused(a, b, c) != std::fma(a, b, c))
            FAIL("a " << a << " b " << b << " c " << c);
    }
    // 1 + 2⁻²³ + 2⁻²⁴ - 2⁻⁵⁴ lies just below halfway between two floats; a double cannot tell, and
    // would be rounded up.
    const float a = 0x1p-24f * (1.0f + 0x1p-15f), b = 1.0f - 0x1p-15f, c = 1.0f + 0x1p-23f;
    CHECK(static_cast<float>(static_cast<double>(a) * b + c) == 1.0f + 0x1p-22f);
    CHECK(detail::fused(a, b, c) == c);
}

TEST_CASE("CounterGenerator gives the numbers that it always gave") {
    // Fixed numbers: data that was drawn from a seed must be drawn again from it years later.
    const CounterGenerator generator(42, 1);
    CHECK(generator.bits(0) == 9919952314785369843u);
    CHECK(generator.bits(1000000007) == 12925901193068224467u);
    CHECK(std::bit_cast<std::uint32_t>(generator.normal(5)) == 1043480078u);
}

TEST_CASE("CounterGenerator's numbers are uniform, normal and unrelated across streams") {
    constexpr std::uint64_t count = 20000;
    const CounterGenerator generator(9);
    const CounterGenerator sibling = generator.fork(0), other_seed(10);
    double mean = 0, square = 0, uniform_mean = 0, with_sibling = 0, with_next = 0, with_seed = 0;
    std::array<int, 10> histogram{};
    std::set<std::uint64_t> seen;
    for (std::uint64_t i = 0; i < count; ++i) {
        const double x = generator.normal(i);
        mean += x / count;
        square += x * x / count;
        with_sibling += x * sibling.normal(i) / count;
        with_next += x * generator.normal(i + 1) / count;
        with_seed += x * other_seed.normal(i) / count;
        uniform_mean += generator.uniform(i) / count;
        ++histogram[generator.below(i, 10)];
        seen.insert(generator.bits(i));
    }
    // Five standard errors: 1/√count for means and correlations.
    const double bound = 5.0 / std::sqrt(static_cast<double>(count));
    CHECK(std::abs(mean) < bound);
    CHECK(std::abs(square - 1.0) < 1.5 * bound);
    CHECK(std::abs(with_sibling) < bound);
    CHECK(std::abs(with_next) < bound);
    CHECK(std::abs(with_seed) < bound);
    CHECK(std::abs(uniform_mean - 0.5) < 0.3 * bound);
    for (const int bin : histogram) CHECK(std::abs(bin - 2000) < 220);
    CHECK(seen.size() == count);
}
