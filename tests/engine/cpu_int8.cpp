// The engine with int8 weights against the Reference engine, in decibels, and its choice of layers.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <random>

#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/core/thread_scope.hpp>
#include <dalle2/engine/cpu_int8.hpp>
#include <dalle2/engine/reference.hpp>
#include <dalle2/io/int8_tensor.hpp>

using namespace dalle2;

namespace {

using Int8 = Cpu<std::int8_t>;
using Precision = WeightOrigin::Precision;

Array normals(const Shape& shape, unsigned seed, float deviation = 1.0f, float mean = 0.0f) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal(mean, deviation);
    Array x = make_array(shape);
    for (float& value : x) value = static_cast<float>(static_cast<bfloat16>(normal(generator)));
    return x;
}

template <class Engine>
typename Engine::Parameter parameter_of(const Array& values, ParameterKind kind) {
    typename Engine::Parameter made(shape_of(values), kind);
    if constexpr (std::is_same_v<Engine, Int8>)
        Int8::load(made, values, {"weight", Precision::int8});
    else
        Engine::load(made, values);
    return made;
}

double signal_to_noise(const Array& found, const Array& expected) {
    REQUIRE(shape_of(found) == shape_of(expected));
    double signal = 0, noise = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        const double error = double{found.data()[i]} - double{expected.data()[i]};
        signal += double{expected.data()[i]} * double{expected.data()[i]};
        noise += error * error;
    }
    return decibels(signal, noise);
}

Array linear(const Array& x, const Array& weight, const Array& bias) {
    const auto w = parameter_of<Int8>(weight, ParameterKind::matrix);
    const auto b = parameter_of<Int8>(bias, ParameterKind::vector);
    CHECK(w.is_int8());
    CHECK(!b.is_int8());
    return Int8::to_array(Int8::linear(Int8::from_array(x), w, &b));
}
Array reference_linear(const Array& x, const Array& weight, const Array& bias) {
    const auto b = parameter_of<Reference>(bias, ParameterKind::vector);
    return Reference::linear(x, parameter_of<Reference>(weight, ParameterKind::matrix), &b);
}

// Of weights rounded to int8.
double weight_decibels(const Array& w) {
    const auto out = static_cast<std::int64_t>(w.shape()[0]);
    Int8Rounding rounding(out, static_cast<std::int64_t>(w.size()) / out);
    rounding.add(0, out, w.data(), to_int8(w).scales.data());
    return rounding.decibels();
}

}  // namespace

TEST_CASE("linear layers of any size keep 30 dB in int8") {
    for (const auto& [rows, in, out] : std::vector<std::array<std::int64_t, 3>>{
             {1, 64, 64}, {1, 7, 65}, {7, 33, 17}, {13, 129, 97}, {67, 1031, 130}, {65, 20, 1}}) {
        CAPTURE(rows);
        CAPTURE(in);
        CAPTURE(out);
        const Array x = normals({1, rows, in}, 1), w = normals({out, in}, 2), b = normals({out}, 3);
        CHECK(signal_to_noise(linear(x, w, b), reference_linear(x, w, b)) > 30);
    }
}

TEST_CASE("an activation on the way of an int8 layer is the same as one after it") {
    const auto w = parameter_of<Int8>(normals({130, 67}, 2), ParameterKind::matrix);
    const auto x = Int8::from_array(normals({37, 67}, 1));
    for (const Activation activation : {Activation::gelu, Activation::quick_gelu})
        CHECK(Int8::to_array(Int8::linear(x, w, nullptr, nullptr, activation)) ==
              Int8::to_array(Int8::activate(Int8::linear(x, w, nullptr), activation)));
}

TEST_CASE("rows of very different sizes each keep their digits") {
    Array x = normals({3, 96}, 1);
    for (std::size_t i = 0; i < 96; ++i) {
        x(0, i) *= 1e-20f;
        x(2, i) *= 1e20f;
    }
    x = Int8::to_array(Int8::from_array(x));
    const Array w = normals({40, 96}, 2), b = make_array({40});
    const Array found = linear(x, w, b), expected = reference_linear(x, w, b);
    for (std::int64_t row = 0; row < 3; ++row) {
        const auto one = [&](const Array& all) { return Array(xt::view(all, row)); };
        CHECK(signal_to_noise(one(found), one(expected)) > 30);
    }
}

TEST_CASE("convolutions of any size keep 30 dB in int8, with a mean and without") {
    struct Case {
        std::int64_t batch, height, width, in, out, kernel, stride, padding;
    };
    for (const Case& c : std::vector<Case>{{2, 5, 7, 3, 5, 3, 1, 1},
                                           {1, 8, 8, 32, 64, 3, 1, 1},
                                           {3, 4, 3, 17, 33, 1, 1, 0},
                                           {1, 9, 6, 65, 7, 3, 1, 1},
                                           {2, 15, 15, 3, 21, 5, 5, 0},
                                           {1, 8, 10, 6, 13, 3, 2, 1},
                                           {1, 2, 67, 4, 66, 3, 1, 1}})
        for (const float mean : {0.0f, 3.0f, -3.0f}) {
            CAPTURE(c.in);
            CAPTURE(c.kernel);
            CAPTURE(mean);
            const Array x = normals({c.batch, c.height, c.width, c.in}, 1, 1.0f, mean);
            const Array w = normals({c.out, c.in, c.kernel, c.kernel}, 2), b = normals({c.out}, 3);
            const Conv2dOptions options = {.stride = c.stride, .padding = c.padding};
            const auto bias = parameter_of<Int8>(b, ParameterKind::vector);
            const auto reference_bias = parameter_of<Reference>(b, ParameterKind::vector);
            const auto weight = parameter_of<Int8>(w, ParameterKind::convolution);
            const auto reference_weight = parameter_of<Reference>(w, ParameterKind::convolution);
            CHECK(weight.is_int8());
            CHECK(signal_to_noise(
                      Int8::to_array(Int8::conv2d(Int8::from_array(x), weight, &bias, options)),
                      Reference::conv2d(x, reference_weight, &reference_bias, options)) > 30);
        }
}

TEST_CASE("an input of zeros gives the bias") {
    const Array b = normals({9}, 3);
    const Array y = linear(make_array({2, 5}), normals({9, 5}, 2), b);
    for (std::int64_t i = 0; i < 9; ++i) CHECK(y(1, i) == b(i));
}

TEST_CASE("int8 weights are chosen where they are worth it and hardly change") {
    const auto chosen = [](const Array& values, ParameterKind kind, Precision precision,
                           const std::string& name = "layers.10.weight") {
        Int8::Parameter made(shape_of(values), kind);
        Int8::load(made, values, {name, precision});
        return made.is_int8();
    };
    const Array large = normals({128, 64}, 1), small = normals({16, 8}, 1);
    CHECK(chosen(large, ParameterKind::matrix, Precision::undecided));
    CHECK(!chosen(small, ParameterKind::matrix, Precision::undecided));
    CHECK(!chosen(large, ParameterKind::table, Precision::undecided));
    CHECK(!chosen(large, ParameterKind::tensor, Precision::int8));
    Array outlier = large;  // one weight of each output leaves the others no digits
    for (std::int64_t o = 0; o < 128; ++o) outlier(o, o % 64) = 100.0f;
    CHECK(weight_decibels(outlier) < least_unmeasured_decibels);
    CHECK(weight_decibels(large) > 40);
    CHECK(!chosen(outlier, ParameterKind::matrix, Precision::undecided));
    CHECK(chosen(outlier, ParameterKind::matrix, Precision::int8));
    for (std::int64_t o = 0; o < 128; ++o)
        outlier(o, o % 64) = std::numeric_limits<float>::infinity();
    CHECK(!chosen(outlier, ParameterKind::matrix, Precision::undecided));
    // Roundings before and after all blocks reach the output as they are.
    for (const std::string name : {"linear_1.weight", "2x.weight", "weight", "", "."}) {
        CHECK(!chosen(large, ParameterKind::matrix, Precision::undecided, name));
        CHECK(chosen(large, ParameterKind::matrix, Precision::int8, name));
    }
    for (const std::string name : {"mid_block.resnets.0.conv1.weight", "0.weight", "layers.7"})
        CHECK(chosen(large, ParameterKind::matrix, Precision::undecided, name));
    // Whoever made the file knew more.
    CHECK(!chosen(large, ParameterKind::matrix, Precision::other));
    CHECK(chosen(small, ParameterKind::matrix, Precision::int8));
    // Sums of such a layer could leave 32 bits: it stays in bfloat16 whatever a file says.
    CHECK(!chosen(make_array({1, kernels::longest_int8_sum + 1}, 1.0f), ParameterKind::matrix,
                  Precision::int8));
}

TEST_CASE("weights come back from int8 near what they were, and other parameters exactly") {
    const Array w = normals({65, 40, 3, 3}, 1),
                back = Int8::store(parameter_of<Int8>(w, ParameterKind::convolution));
    CHECK(signal_to_noise(back, w) > 38);
    // Rounded again they are the same.
    CHECK(signal_to_noise(Int8::store(parameter_of<Int8>(back, ParameterKind::convolution)), back) >
          120);
    const Array b = normals({7}, 1), t = normals({3, 4}, 1);
    CHECK(Int8::store(parameter_of<Int8>(b, ParameterKind::vector)) == b);
    CHECK(Int8::store(parameter_of<Int8>(t, ParameterKind::table)) == t);
}

TEST_CASE("a parameter that is loaded again is the second alone, in either form") {
    const Array first = normals({128, 64}, 1), x = normals({3, 64}, 3);
    Array second = normals({128, 64}, 2);
    second(5, 7) = std::nanf("");
    const auto run = [&](const Int8::Parameter& weight) {
        return Int8::to_array(Int8::linear(Int8::from_array(x), weight, nullptr));
    };
    for (const Precision before : {Precision::int8, Precision::other})
        for (const Precision after : {Precision::int8, Precision::other}) {
            const bool int8 = after == Precision::int8;
            Int8::Parameter loaded(shape_of(first), ParameterKind::matrix), once = loaded;
            Int8::load(loaded, first, {"weight", before});
            const Int8::Parameter copy = loaded;
            Int8::load(loaded, second, {"weight", after});
            Int8::load(once, second, {"weight", after});
            CHECK(loaded.is_int8() == int8);
            const Array found = run(loaded), expected = run(once), kept = run(copy);
            for (std::int64_t row = 0; row < 3; ++row)
                for (std::int64_t o = 0; o < 128; ++o) {
                    CHECK(std::isnan(found(row, o)) == (o == 5));
                    CHECK((found(row, o) == expected(row, o) || o == 5));
                    CHECK(!std::isnan(kept(row, o)));
                }
            if (int8) CHECK_THROWS_AS(loaded.packed(), Error);  // no second copy in memory
        }
}

TEST_CASE("weights in int8 stay when the pool of the call that loads them goes") {
    const BufferPool pool;
    const BufferPool::Scope scope(pool);
    const auto weight = parameter_of<Int8>(normals({128, 64}, 1), ParameterKind::matrix);
    CHECK(weight.is_int8());
    CHECK(pool.peak_bytes() == 0);
}

TEST_CASE("weights too small for a scale of their own are rounded to zero, not to NaN") {
    Array w = normals({128, 64}, 1);
    const double usual = weight_decibels(w);
    for (std::int64_t i = 0; i < 64; ++i) w(3, i) = i % 2 ? 1e-40f : -1e-40f;
    CHECK(weight_decibels(w) == doctest::Approx(usual).epsilon(0.01));
    for (const float scale : to_int8(w).scales) CHECK(std::isfinite(1 / scale));
}

TEST_CASE("int8 layers give the same numbers for any number of threads") {
    const Array x = normals({5, 12, 12, 24}, 1), w = normals({40, 24, 3, 3}, 2);
    const auto weight = parameter_of<Int8>(w, ParameterKind::convolution);
    const auto run = [&](int threads) {
        const ThreadScope scope(threads);
        return Int8::to_array(Int8::conv2d(Int8::from_array(x), weight, nullptr, {.padding = 1}));
    };
    const Array one = run(1);
    CHECK(run(2) == one);
    CHECK(run(3) == one);
}

TEST_CASE("a convolution of a norm's result gives the same where the norm tells its extremes") {
    for (const Shape& shape : {Shape{3, 4, 5, 8}, Shape{2, 40, 36, 64}}) {
        CAPTURE(shape[1]);
        const std::int64_t channels = shape.back();
        const auto vector = [&](unsigned seed) {
            return parameter_of<Int8>(normals({channels}, seed), ParameterKind::vector);
        };
        const auto w =
            parameter_of<Int8>(normals({9, channels, 3, 3}, 4), ParameterKind::convolution);
        const auto norm = Int8::group_norm(Int8::from_array(normals(shape, 1, 3.0f)), vector(2),
                                           vector(3), nullptr, {.groups = 4});
        CHECK((norm.extremes() != nullptr) == kernels::wants_extremes());
        const auto unknown = Int8::from_array(Int8::to_array(norm));
        CHECK(unknown.extremes() == nullptr);
        CHECK(Int8::to_array(Int8::conv2d(norm, w, nullptr, {.padding = 1})) ==
              Int8::to_array(Int8::conv2d(unknown, w, nullptr, {.padding = 1})));
    }
}

TEST_CASE("what is not finite becomes NaN, and wrong shapes are errors in int8 too") {
    Array x = normals({2, 64}, 1);
    x(1, 63) = std::numeric_limits<float>::infinity();
    const Array y = linear(x, normals({9, 64}, 2), make_array({9}));
    for (std::int64_t i = 0; i < 9; ++i) {
        CHECK(std::isfinite(y(0, i)));
        CHECK(std::isnan(y(1, i)));
    }
    const auto weight = parameter_of<Int8>(make_array({4, 6}, 1.0f), ParameterKind::matrix);
    CHECK_THROWS_AS(Int8::linear(Int8::from_array(make_array({2, 5})), weight, nullptr),
                    ShapeError);
    Int8::Parameter made({2, 2}, ParameterKind::matrix);
    CHECK_THROWS_AS(Int8::load(made, make_array({4})), ShapeError);
}
