// Random numbers: PyTorch's CPU generator, so that a seed means here what it means to the public
// pipelines, and a counter-based generator, whose n-th number needs no numbers before it.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <dalle2/core/array.hpp>
#include <dalle2/core/bfloat16.hpp>
#include <dalle2/core/error.hpp>

namespace dalle2 {

namespace detail {

// PyTorch's vectorised normals use the Cephes single-precision polynomials with fused
// multiply-adds. Repeating each rounding gives the same bits on every machine, which the
// mathematical library of a system does not: there every sixth number differs in its last digits.

// a·b + c, rounded once: std::fma, without a call into the library where the processor has the
// instruction but the compiler may not use it.
inline float fused(float a, float b, float c) {
    const double sum = static_cast<double>(a) * b + c;  // the product is exact
    // Rounding the sum a second time goes wrong only halfway between two floats.
    constexpr std::uint64_t below_float = 0x1fffffff, halfway = 0x10000000;
    if ((std::bit_cast<std::uint64_t>(sum) & below_float) == halfway) return std::fma(a, b, c);
    return static_cast<float>(sum);
}

// log(x) for normal positive x.
inline float cephes_log(float x) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
    float exponent = static_cast<float>(static_cast<int>(bits >> 23) - 126);
    x = std::bit_cast<float>((bits & 0x007fffffu) | 0x3f000000u);  // in [0.5, 1)
    if (x < 0.707106781186547524f) {
        exponent -= 1.0f;
        x = (x - 1.0f) + x;
    } else {
        x -= 1.0f;
    }
    const float square = x * x;
    float y = 7.0376836292e-2f;
    for (const float coefficient :
         {-1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f,
          -1.6668057665e-1f, 2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f})
        y = fused(y, x, coefficient);
    y = fused(y * x, square, exponent * -2.12194440e-4f);
    y = fused(square, -0.5f, y);
    return fused(exponent, 0.693359375f, x + y);
}

// {sin x, cos x} for x in [0, 2π].
inline std::pair<float, float> cephes_sin_cos(float x) {
    const int octant = (static_cast<int>(x * 1.27323954473516f) + 1) & ~1;  // 4/π
    const float turns = static_cast<float>(octant);
    x = fused(turns, -0.78515625f, x);  // π/4 in three parts
    x = fused(turns, -2.4187564849853515625e-4f, x);
    x = fused(turns, -3.77489497744594108e-8f, x);
    const float square = x * x;
    float cosine = fused(2.443315711809948e-5f, square, -1.388731625493765e-3f);
    cosine = fused(cosine, square, 4.166664568298827e-2f);
    cosine = fused(cosine * square, square, square * -0.5f) + 1.0f;
    float sine = fused(-1.9515295891e-4f, square, 8.3321608736e-3f);
    sine = fused(sine, square, -1.6666654611e-1f);
    sine = fused(sine * square, x, x);
    if (octant & 2) std::swap(sine, cosine);
    if (octant & 4) sine = -sine;
    if (((octant - 2) & 4) == 0) cosine = -cosine;
    return {sine, cosine};
}

// Two uniforms in [0, 1) → two independent standard normals (Box and Muller 1958).
inline std::pair<float, float> box_muller(float first, float second) {
    const float radius = std::sqrt(-2.0f * cephes_log(1.0f - first));
    const auto [sine, cosine] = cephes_sin_cos(6.283185307179586f * second);
    return {radius * cosine, radius * sine};
}

}  // namespace detail

// The type in which normals are drawn. PyTorch's streams for the short types are not roundings of
// the one for float32, so a pipeline that runs in bfloat16 there draws other noise from a seed.
enum class NoiseType { f32, bf16, f16 };

// The stream of `torch.Generator().manual_seed(seed)` on a CPU.
//
// `normal` equals torch.randn bit for bit on x86 machines with AVX2 (every one since 2013);
// PyTorch's own portable code differs from that in the last digits of some numbers.
class TorchGenerator {
public:
    // Like PyTorch, only the lower 32 bits of the seed count. `normals` is the dtype that
    // torch.randn would be given.
    explicit TorchGenerator(std::uint64_t seed, NoiseType normals = NoiseType::f32)
        : normals_(normals) {
        words_[0] = static_cast<std::uint32_t>(seed);
        for (std::uint32_t i = 1; i < size; ++i)
            words_[i] = 1812433253u * (words_[i - 1] ^ (words_[i - 1] >> 30)) + i;
    }

    // The next number of the Mersenne twister (Matsumoto and Nishimura 1998), mt19937.
    std::uint32_t next32() {
        if (position_ == size) twist();
        std::uint32_t y = words_[position_++];
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c5680u;
        y ^= (y << 15) & 0xefc60000u;
        return y ^ (y >> 18);
    }

    std::uint64_t next64() {
        const std::uint64_t high = next32();
        return (high << 32) | next32();
    }

    NoiseType noise_type() const { return normals_; }

    // One number of torch.rand: a multiple of 2⁻²⁴ in [0, 1).
    float uniform() { return static_cast<float>(next32() & 0xffffffu) * 0x1p-24f; }

    void uniform(std::span<float> values) {
        for (float& value : values) value = uniform();
    }

    // torch.randn(values.size()). One call for n numbers is not n calls for one: below 16 numbers
    // PyTorch draws in double precision, one after another; from 16 on in blocks of 16, and when
    // the last block is short, the last 16 numbers are drawn anew.
    void normal(std::span<float> values) {
        if (normals_ == NoiseType::bf16) return normal_as<bfloat16, 8>(values);
        if (normals_ == NoiseType::f16) return normal_as<float16, 11>(values);
        if (values.size() < block) {
            for (float& value : values) value = static_cast<float>(next_normal());
            return;
        }
        uniform(values);
        for (std::size_t i = 0; i + block <= values.size(); i += block)
            transform_block(values.subspan(i).first<block>());
        if (values.size() % block != 0) {
            const auto tail = values.last<block>();
            uniform(tail);
            transform_block(tail);
        }
    }

    // torch.randn(shape), in the memory order of `shape`.
    Array normal(const Shape& shape) {
        Array values = make_array(shape);
        normal(std::span<float>(values.data(), values.size()));
        return values;
    }

    // Everything that decides the numbers to come but their type, as integers, for a checkpoint.
    std::vector<std::uint64_t> state() const {
        std::vector<std::uint64_t> values(words_.begin(), words_.end());
        values.push_back(position_);
        values.push_back(spare_normal_.has_value());
        values.push_back(std::bit_cast<std::uint64_t>(spare_normal_.value_or(0.0)));
        return values;
    }

    // A generator that goes on where the one that gave `state` stopped. Throws FormatError.
    static TorchGenerator from_state(std::span<const std::uint64_t> state,
                                     NoiseType normals = NoiseType::f32) {
        if (state.size() != size + 3 || state[size] > size || state[size + 1] > 1)
            throw FormatError("the state of a random generator has " +
                              std::to_string(state.size()) + " numbers or a position beyond its " +
                              "end; expected 624 words, a position up to 624, a flag and a number");
        TorchGenerator generator(0, normals);
        for (std::uint32_t i = 0; i < size; ++i)
            generator.words_[i] = static_cast<std::uint32_t>(state[i]);
        generator.position_ = static_cast<std::uint32_t>(state[size]);
        if (state[size + 1] == 1) generator.spare_normal_ = std::bit_cast<double>(state[size + 2]);
        return generator;
    }

    bool operator==(const TorchGenerator&) const = default;

private:
    static constexpr std::uint32_t size = 624;
    static constexpr std::size_t block = 16;

    void twist() {
        for (std::uint32_t i = 0; i < size; ++i) {
            const std::uint32_t y =
                (words_[i] & 0x80000000u) | (words_[(i + 1) % size] & 0x7fffffffu);
            words_[i] = words_[(i + 397) % size] ^ (y >> 1) ^ ((y & 1u) ? 0x9908b0dfu : 0u);
        }
        position_ = 0;
    }

    // A multiple of 2⁻⁵³ in [0, 1).
    double uniform_double() {
        return static_cast<double>(next64() & ((std::uint64_t{1} << 53) - 1)) * 0x1p-53;
    }

    // Normals come in pairs; the second one waits for the next call.
    double next_normal() {
        if (spare_normal_) return *std::exchange(spare_normal_, std::nullopt);
        const double angle = 2.0 * 3.14159265358979323846 * uniform_double();
        const double radius = std::sqrt(-2.0 * std::log1p(-uniform_double()));
        spare_normal_ = radius * std::sin(angle);
        return radius * std::cos(angle);
    }

    // The same in a type of so many bits of precision: uniforms are as coarse as that, and each
    // operation of the transform rounds.
    template <class Short, int digits>
    void normal_as(std::span<float> values) {
        const auto rounded = [](double x) {
            return static_cast<float>(static_cast<Short>(static_cast<float>(x)));
        };
        if (values.size() < block) {
            for (float& value : values) value = rounded(next_normal());
            return;
        }
        const auto fill = [&](std::span<float> some) {
            constexpr std::uint32_t steps = 1u << digits;
            for (float& value : some)
                value = static_cast<float>(next32() % steps) / static_cast<float>(steps);
        };
        const auto transform = [&](std::span<float, block> some) {
            for (std::size_t i = 0; i < block / 2; ++i) {
                const float logarithm = rounded(std::log(rounded(1.0f - some[i])));
                const float radius = rounded(std::sqrt(rounded(-2.0f * logarithm)));
                const float angle = rounded(2.0 * 3.14159265358979323846 * some[i + 8]);
                // PyTorch adds the mean, 0, which makes a negative zero positive.
                some[i] = rounded(radius * rounded(std::cos(angle))) + 0.0f;
                some[i + 8] = rounded(radius * rounded(std::sin(angle))) + 0.0f;
            }
        };
        fill(values);
        for (std::size_t i = 0; i + block <= values.size(); i += block)
            transform(values.subspan(i).first<block>());
        if (values.size() % block != 0) {
            fill(values.last<block>());
            transform(values.last<block>());
        }
    }

    static void transform_block(std::span<float, block> values) {
        for (std::size_t i = 0; i < block / 2; ++i)
            std::tie(values[i], values[i + 8]) = detail::box_muller(values[i], values[i + 8]);
    }

    NoiseType normals_;
    std::array<std::uint32_t, size> words_{};
    std::uint32_t position_ = size;
    std::optional<double> spare_normal_;
};

// Random numbers as a pure function of (seed, stream, index): any worker can draw the numbers of
// any training sample, in any order, and a run resumes from nothing but a count.
class CounterGenerator {
public:
    explicit constexpr CounterGenerator(std::uint64_t seed, std::uint64_t stream = 0)
        : first_key_(mix(seed + increment)), second_key_(mix(first_key_ ^ mix(stream))) {}

    // An independent generator; for example one per sample, then one per purpose.
    constexpr CounterGenerator fork(std::uint64_t stream) const {
        return CounterGenerator(second_key_, stream);
    }

    constexpr std::uint64_t bits(std::uint64_t index) const {
        return mix(mix(first_key_ + index * increment) ^ second_key_);
    }

    // A multiple of 2⁻⁵³ in [0, 1).
    constexpr double uniform(std::uint64_t index) const {
        return static_cast<double>(bits(index) >> 11) * 0x1p-53;
    }

    // An integer in [0, bound); bound > 0. The bias is below bound / 2³².
    constexpr std::uint32_t below(std::uint64_t index, std::uint32_t bound) const {
        return static_cast<std::uint32_t>(((bits(index) >> 32) * bound) >> 32);
    }

    // A standard normal; its magnitude stays below 5.8.
    float normal(std::uint64_t index) const {
        const std::uint64_t word = bits(index);
        return detail::box_muller(static_cast<float>(word >> 40) * 0x1p-24f,
                                  static_cast<float>(word & 0xffffffu) * 0x1p-24f)
            .first;
    }

    // values[i] = normal(first_index + i).
    void normal(std::uint64_t first_index, std::span<float> values) const {
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = normal(first_index + i);
    }

private:
    static constexpr std::uint64_t increment = 0x9e3779b97f4a7c15u;  // 2⁶⁴ / golden ratio, odd

    // The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection without visible
    // pattern.
    static constexpr std::uint64_t mix(std::uint64_t z) {
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }

    std::uint64_t first_key_;
    std::uint64_t second_key_;
};

}  // namespace dalle2
