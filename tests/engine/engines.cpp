// Every operation of the Cpu engines against the Reference engine, at odd sizes as well as round
// ones: 1, primes, one more than a tile.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include <dalle2/core/bfloat16.hpp>
#include <dalle2/engine/autodiff.hpp>
#include <dalle2/engine/cpu.hpp>
#include <dalle2/engine/cpu_int8.hpp>
#include <dalle2/engine/reference.hpp>
#include <dalle2/engine/trace.hpp>

using namespace dalle2;

namespace {

// What rounding may do to a result, relative to its largest element.
template <class E>
constexpr double tolerance = std::is_same_v<typename E::Scalar, float> ? 2e-6 : 6e-3;

class Draw {
public:
    // Normals, exact in bfloat16, so that all engines are given the same numbers.
    Array array(const Shape& shape, float deviation = 1.0f) {
        Array x = make_array(shape);
        for (float& value : x)
            value = static_cast<float>(static_cast<bfloat16>(deviation * normal_(generator_)));
        return x;
    }

private:
    std::mt19937 generator_{11};
    std::normal_distribution<float> normal_;
};

template <class E>
typename E::Parameter parameter(const Array& values, ParameterKind kind) {
    typename E::Parameter p(shape_of(values), kind);
    E::load(p, values);
    return p;
}

template <class E>
void check_close(const typename E::Tensor& found, const Array& expected) {
    const Array values = E::to_array(found);
    REQUIRE(shape_of(values) == shape_of(expected));
    double largest = 1e-3, difference = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        largest = std::max(largest, std::abs(double{expected.data()[i]}));
        const double error = std::abs(double{values.data()[i]} - double{expected.data()[i]});
        difference = std::isnan(error) ? HUGE_VAL : std::max(difference, error);
    }
    INFO("shape ", to_string(shape_of(expected)), ", difference ", difference, ", largest ",
         largest);
    CHECK(difference <= tolerance<E> * largest);
}

// Movement of data changes no bit.
template <class E>
void check_equal(const typename E::Tensor& found, const Array& expected) {
    CHECK(E::to_array(found) == expected);
}

}  // namespace

#define ENGINES Cpu<float>, Cpu<bfloat16>

TEST_CASE_TEMPLATE("linear is as in the reference", E, ENGINES) {
    Draw draw;
    for (const auto& [rows, in, out] : std::vector<std::array<std::int64_t, 3>>{{1, 1, 1},
                                                                                {1, 7, 65},
                                                                                {3, 64, 64},
                                                                                {7, 33, 17},
                                                                                {13, 129, 97},
                                                                                {67, 31, 1},
                                                                                {6, 1, 130}}) {
        const Array x = draw.array({1, rows, in}), w = draw.array({out, in}), b = draw.array({out});
        const auto weight = parameter<E>(w, ParameterKind::matrix),
                   bias = parameter<E>(b, ParameterKind::vector);
        const auto reference_weight = parameter<Reference>(w, ParameterKind::matrix);
        const auto reference_bias = parameter<Reference>(b, ParameterKind::vector);
        check_close<E>(E::linear(E::from_array(x), weight, &bias),
                       Reference::linear(x, reference_weight, &reference_bias));
        check_close<E>(E::linear(E::from_array(x), weight, nullptr),
                       Reference::linear(x, reference_weight, nullptr));
        const Array residual = draw.array({1, rows, out});
        const typename E::Tensor added = E::from_array(residual);
        check_close<E>(E::linear(E::from_array(x), weight, &bias, &added),
                       Reference::linear(x, reference_weight, &reference_bias, &residual));
        // An activation on the way is the same as one after it, to the bit.
        for (const Activation activation :
             {Activation::silu, Activation::gelu, Activation::quick_gelu}) {
            const auto y = E::linear(E::from_array(x), weight, &bias, &added, activation);
            check_close<E>(
                y, Reference::linear(x, reference_weight, &reference_bias, &residual, activation));
            check_equal<E>(y, E::to_array(E::activate(
                                  E::linear(E::from_array(x), weight, &bias, &added), activation)));
        }
    }
}

TEST_CASE_TEMPLATE("convolution is as in the reference", E, ENGINES) {
    Draw draw;
    struct Case {
        std::int64_t batch, height, width, in, out, kernel, stride, padding;
    };
    for (const Case& c : std::vector<Case>{{1, 1, 1, 1, 1, 3, 1, 1},
                                           {2, 5, 7, 3, 5, 3, 1, 1},
                                           {1, 8, 8, 32, 64, 3, 1, 1},
                                           {3, 4, 3, 17, 33, 1, 1, 0},
                                           {1, 9, 6, 65, 7, 3, 1, 1},
                                           {2, 15, 15, 3, 21, 5, 5, 0},
                                           {1, 7, 7, 1, 11, 3, 3, 0},
                                           {1, 8, 10, 6, 13, 3, 2, 1},
                                           {1, 2, 67, 4, 66, 3, 1, 1}}) {
        const Array x = draw.array({c.batch, c.height, c.width, c.in});
        const Array w = draw.array({c.out, c.in, c.kernel, c.kernel}), b = draw.array({c.out});
        const Conv2dOptions options = {.stride = c.stride, .padding = c.padding};
        const auto bias = parameter<E>(b, ParameterKind::vector);
        const auto reference_bias = parameter<Reference>(b, ParameterKind::vector);
        const auto weight = parameter<E>(w, ParameterKind::convolution);
        const auto reference_weight = parameter<Reference>(w, ParameterKind::convolution);
        check_close<E>(E::conv2d(E::from_array(x), weight, &bias, options),
                       Reference::conv2d(x, reference_weight, &reference_bias, options));
        const Array expected = Reference::conv2d(x, reference_weight, nullptr, options);
        check_close<E>(E::conv2d(E::from_array(x), weight, nullptr, options), expected);
        for (const Shape& shape : {shape_of(expected), Shape{c.batch, c.out}}) {
            const Array more = draw.array(shape);
            const typename E::Tensor added = E::from_array(more);
            check_close<E>(E::conv2d(E::from_array(x), weight, &bias, options, &added),
                           Reference::conv2d(x, reference_weight, &reference_bias, options, &more));
        }
    }
}

TEST_CASE_TEMPLATE("what is added to a layer's result has its shape", E, Cpu<float>, Cpu<bfloat16>,
                   Cpu<std::int8_t>, Reference, Trace, Autodiff<float>) {
    const auto zeros = [](const Shape& shape) {
        Array array = make_array(shape);
        array.fill(0.0f);
        return array;
    };
    const auto tensor = [&](const Shape& shape) { return E::from_array(zeros(shape)); };
    const auto matrix = parameter<E>(zeros({5, 4}), ParameterKind::matrix),
               kernel = parameter<E>(zeros({5, 4, 3, 3}), ParameterKind::convolution);
    for (const Shape& shape : {Shape{2, 3}, Shape{1, 5}, Shape{2, 3, 4}, Shape{3, 5}}) {
        const auto added = tensor(shape);
        CHECK_THROWS_AS(E::linear(tensor({2, 3, 4}), matrix, nullptr, &added), ShapeError);
        CHECK_THROWS_AS(E::conv2d(tensor({2, 6, 6, 4}), kernel, nullptr, {.padding = 1}, &added),
                        ShapeError);
    }
}

TEST_CASE_TEMPLATE("a group norm gives the same from what convolutions know of their results", E,
                   ENGINES, Autodiff<bfloat16>) {
    Draw draw;
    const auto x = E::from_array(draw.array({2, 36, 64, 4}));
    const auto convolved = [&](std::int64_t out) {
        const auto w = parameter<E>(draw.array({out, 4, 3, 3}), ParameterKind::convolution);
        Array offsets = draw.array({out});
        offsets += 9.0f;  // a mean far from zero
        const auto bias = parameter<E>(offsets, ParameterKind::vector);
        return E::conv2d(x, w, &bias, {.padding = 1});
    };
    const auto joined = E::concatenate({convolved(192), convolved(128)}, -1);
    const auto scale = parameter<E>(draw.array({320}), ParameterKind::vector),
               shift = parameter<E>(draw.array({320}), ParameterKind::vector);
    const auto norm = [&](const typename E::Tensor& of) {
        return E::group_norm(of, scale, shift, nullptr, {.groups = 10});
    };
    check_close<E>(norm(joined), E::to_array(norm(E::from_array(E::to_array(joined)))));
}

TEST_CASE_TEMPLATE("group norm with and without modulation is as in the reference", E, ENGINES) {
    Draw draw;
    struct Case {
        Shape shape;
        std::int64_t groups;
        Activation activation;
    };
    for (const Case& c : std::vector<Case>{{{1, 1, 1, 4}, 2, Activation::none},
                                           {{2, 3, 5, 6}, 3, Activation::silu},
                                           {{1, 8, 8, 64}, 32, Activation::silu},
                                           {{3, 7, 33}, 11, Activation::none},
                                           {{2, 5, 3, 17}, 1, Activation::silu},
                                           {{1, 2, 2, 13}, 13, Activation::gelu}}) {
        Array x = draw.array(c.shape);
        x += 3.0f;  // a mean far from zero
        x = E::to_array(E::from_array(x));
        const std::int64_t channels = c.shape.back();
        const Array scale = draw.array({channels}), shift = draw.array({channels});
        const Array modulation = draw.array({c.shape[0], 2 * channels}, 0.5f);
        const GroupNormOptions options = {c.groups, 1e-5, c.activation};
        const auto s = parameter<E>(scale, ParameterKind::vector),
                   h = parameter<E>(shift, ParameterKind::vector);
        const auto rs = parameter<Reference>(scale, ParameterKind::vector);
        const auto rh = parameter<Reference>(shift, ParameterKind::vector);
        const auto tensor = E::from_array(x), m = E::from_array(modulation);
        check_close<E>(E::group_norm(tensor, s, h, nullptr, options),
                       Reference::group_norm(x, rs, rh, nullptr, options));
        check_close<E>(E::group_norm(tensor, s, h, &m, options),
                       Reference::group_norm(x, rs, rh, &modulation, options));
    }
}

TEST_CASE_TEMPLATE("layer norm is as in the reference", E, ENGINES) {
    Draw draw;
    for (const Shape& shape :
         std::vector<Shape>{{1, 1, 2}, {2, 3, 5}, {3, 64}, {1, 7, 129}, {5, 31}}) {
        const Array x = draw.array(shape), scale = draw.array({shape.back()}),
                    shift = draw.array({shape.back()});
        check_close<E>(
            E::layer_norm(E::from_array(x), parameter<E>(scale, ParameterKind::vector),
                          parameter<E>(shift, ParameterKind::vector), 1e-5),
            Reference::layer_norm(x, parameter<Reference>(scale, ParameterKind::vector),
                                  parameter<Reference>(shift, ParameterKind::vector), 1e-5));
    }
}

TEST_CASE_TEMPLATE("attention with every form of mask is as in the reference", E, ENGINES) {
    Draw draw;
    struct Case {
        std::int64_t batch, queries, keys, heads, head_width;
    };
    for (const Case& c : std::vector<Case>{{1, 1, 1, 1, 1},
                                           {2, 5, 5, 3, 7},
                                           {1, 64, 73, 2, 32},
                                           {3, 9, 2, 1, 13},
                                           {1, 17, 130, 1, 64},
                                           {2, 67, 67, 2, 8}}) {
        const std::int64_t width = c.heads * c.head_width;
        const Array q = draw.array({c.batch, c.queries, width}),
                    k = draw.array({c.batch, c.keys, width});
        const Array v = draw.array({c.batch, c.keys, width});
        const auto check = [&](const Array* mask) {
            const AttentionOptions options = {.heads = c.heads, .mask = mask};
            check_close<E>(
                E::attention(E::from_array(q), E::from_array(k), E::from_array(v), options),
                Reference::attention(q, k, v, options));
        };
        check(nullptr);
        for (const float forbidden : {-10000.0f, std::numeric_limits<float>::lowest()})
            for (const std::int64_t batch : {std::int64_t{1}, c.batch})
                for (const std::int64_t queries : {std::int64_t{1}, c.queries}) {
                    Array mask = make_array({batch, queries, c.keys});
                    for (std::int64_t b = 0; b < batch; ++b)
                        for (std::int64_t query = 0; query < queries; ++query)
                            for (std::int64_t key = 1; key < c.keys; ++key)
                                if ((3 * b + 5 * query + 7 * key) % 4 == 0)
                                    mask(b, query, key) = forbidden;
                    check(&mask);
                }
    }
}

TEST_CASE_TEMPLATE("activations are as in the reference, for large arguments too", E, ENGINES) {
    Array x = make_array({2, 203});
    for (std::size_t i = 0; i < x.size(); ++i)
        x.data()[i] =
            static_cast<float>(static_cast<bfloat16>(0.07f * static_cast<float>(i) - 14.0f));
    x(0, 0) = -100.0f, x(1, 0) = 100.0f, x(1, 1) = -3000.0f;
    for (const Activation activation :
         {Activation::none, Activation::silu, Activation::gelu, Activation::quick_gelu})
        check_close<E>(E::activate(E::from_array(x), activation),
                       Reference::activate(x, activation));
}

TEST_CASE_TEMPLATE("sums and scales are as in the reference", E, ENGINES) {
    Draw draw;
    const Array x = draw.array({3, 5, 7, 11}), same = draw.array({3, 5, 7, 11}),
                row = draw.array({7, 11});
    const Array channels = draw.array({3, 11}), bias = draw.array({11});
    const auto tensor = E::from_array(x);
    for (const Array* y : {&same, &row, &bias})
        check_close<E>(E::add(tensor, E::from_array(*y)), Reference::add(x, *y));
    check_close<E>(E::add_per_channel(tensor, E::from_array(channels)),
                   Reference::add_per_channel(x, channels));
    check_close<E>(E::scale(tensor, -0.3), Reference::scale(x, -0.3));
}

TEST_CASE_TEMPLATE("operations that move data change no bit", E, ENGINES) {
    Draw draw;
    const Array x = draw.array({2, 5, 7}), y = draw.array({2, 3, 7}), one = draw.array({1, 3, 5});
    const auto tx = E::from_array(x);
    check_equal<E>(E::concatenate({tx, E::from_array(y), tx}, 1),
                   Reference::concatenate({x, y, x}, 1));
    check_equal<E>(E::concatenate({tx, tx}, -1), Reference::concatenate({x, x}, -1));
    check_equal<E>(E::concatenate({tx, tx}, 0), Reference::concatenate({x, x}, 0));
    // So much that it goes past the caches, where there is such a way; and runs that are no lines.
    const Array large = draw.array({67001, 64}), odd = draw.array({67001, 65});
    for (const auto& [first, second] : {std::pair(&large, &large), std::pair(&odd, &large)})
        check_equal<E>(E::concatenate({E::from_array(*first), E::from_array(*second)}, -1),
                       Reference::concatenate({*first, *second}, -1));
    check_equal<E>(E::slice(tx, 1, 1, 4), Reference::slice(x, 1, 1, 4));
    check_equal<E>(E::slice(tx, -1, 6, 7), Reference::slice(x, -1, 6, 7));
    check_equal<E>(E::slice(tx, 0, 1, 2), Reference::slice(x, 0, 1, 2));
    check_equal<E>(E::reshape(tx, {7, 10}), Reference::reshape(x, {7, 10}));
    check_equal<E>(E::transpose(tx), Reference::transpose(x));
    check_equal<E>(E::repeat(E::from_array(one), 3), Reference::repeat(one, 3));
    const std::vector<std::int32_t> positions = {4, 0};
    check_equal<E>(E::select_tokens(tx, positions), Reference::select_tokens(x, positions));

    const Array table = draw.array({6, 5});
    const std::vector<std::int32_t> ids = {5, 0, 3, 3};
    check_equal<E>(E::embedding(parameter<E>(table, ParameterKind::table), ids),
                   Reference::embedding(parameter<Reference>(table, ParameterKind::table), ids));
    for (const auto& [height, width] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 5}}) {
        const Array picture = draw.array({2, height, width, 3});
        check_equal<E>(E::upsample_nearest2(E::from_array(picture)),
                       Reference::upsample_nearest2(picture));
    }
}

TEST_CASE_TEMPLATE("average pooling drops odd edges as the reference does", E, ENGINES) {
    Draw draw;
    for (const Shape& shape : std::vector<Shape>{{1, 2, 2, 1}, {2, 4, 6, 33}, {1, 5, 7, 3}}) {
        const Array x = draw.array(shape);
        check_close<E>(E::average_pool2(E::from_array(x)), Reference::average_pool2(x));
    }
}

TEST_CASE_TEMPLATE("parameters of every kind come back as they went in", E, ENGINES) {
    Draw draw;
    const std::vector<std::pair<Shape, ParameterKind>> cases = {
        {{7}, ParameterKind::vector},
        {{5, 33}, ParameterKind::matrix},
        {{65, 3, 3, 3}, ParameterKind::convolution},
        {{9, 4}, ParameterKind::table},
        {{1, 3, 5}, ParameterKind::tensor}};
    for (const auto& [shape, kind] : cases) {
        const Array values = draw.array(shape);
        const auto p = parameter<E>(values, kind);
        CHECK(E::store(p) == values);
        if (kind == ParameterKind::vector || kind == ParameterKind::tensor)
            check_equal<E>(E::value(p), values);
    }
}

TEST_CASE_TEMPLATE("wrong shapes are errors", E, Reference, ENGINES) {
    const auto x = E::from_array(make_array({2, 3, 5}));
    const auto weight = parameter<E>(make_array({4, 6}), ParameterKind::matrix);
    CHECK_THROWS_AS(E::linear(x, weight, nullptr), ShapeError);
    CHECK_THROWS_AS(E::reshape(x, {31}), ShapeError);
    CHECK_THROWS_AS(E::add(x, E::from_array(make_array({3}))), ShapeError);
    CHECK_THROWS_AS(E::concatenate({x, E::from_array(make_array({2, 3, 4}))}, 1), ShapeError);
    CHECK_THROWS_AS(E::slice(x, 1, 2, 4), ShapeError);
    CHECK_THROWS_AS(E::attention(x, x, x, {.heads = 2}), ShapeError);
    const Array mask = make_array({1, 1, 4});
    CHECK_THROWS_AS(E::attention(x, x, x, {.heads = 1, .mask = &mask}), ShapeError);
    const auto table = parameter<E>(make_array({4, 6}), ParameterKind::table);
    for (const std::int32_t id : {-1, 4})
        CHECK_THROWS_AS(E::embedding(table, std::vector<std::int32_t>{id}), ShapeError);
    typename E::Parameter p({2, 2}, ParameterKind::matrix);
    CHECK_THROWS_AS(E::load(p, make_array({4})), ShapeError);
}

TEST_CASE_TEMPLATE("a convolution of a picture smaller than its kernel is an error", E, Reference,
                   ENGINES, Cpu<double>, Cpu<std::int8_t>, Autodiff<float>, Trace) {
    const auto weight = parameter<E>(make_array({4, 5, 3, 3}, 1.0f), ParameterKind::convolution);
    const auto convolve = [&](std::int64_t height, std::int64_t width, const Conv2dOptions& o) {
        const auto x = E::from_array(make_array({1, height, width, 5}, 1.0f));
        return E::shape(E::conv2d(x, weight, nullptr, o));
    };
    for (const auto& [height, width] : {std::pair{2, 2}, {2, 9}, {9, 2}, {0, 9}})
        for (const std::int64_t stride : {1, 2})
            CHECK_THROWS_WITH_AS(convolve(height, width, {.stride = stride}),
                                 doctest::Contains("is smaller than the kernel, 3x3"), ShapeError);
    CHECK(convolve(3, 4, {.stride = 2}) == Shape{1, 1, 1, 4});
    CHECK(convolve(1, 2, {.padding = 1}) == Shape{1, 1, 2, 4});
}

TEST_CASE_TEMPLATE("a layer does not begin after a stop was requested", E, Reference, ENGINES) {
    Draw draw;
    const auto x = E::from_array(draw.array({1, 2, 3})),
               picture = E::from_array(draw.array({1, 3, 3, 2}));
    const auto matrix = parameter<E>(draw.array({4, 3}), ParameterKind::matrix);
    const auto kernel = parameter<E>(draw.array({2, 2, 3, 3}), ParameterKind::convolution);
    std::stop_source source;
    const StopScope scope(source.get_token());
    CHECK_NOTHROW(E::linear(x, matrix, nullptr));
    source.request_stop();
    CHECK_THROWS_AS(E::linear(x, matrix, nullptr), Cancelled);
    CHECK_THROWS_AS(E::conv2d(picture, kernel, nullptr, {.padding = 1}), Cancelled);
    CHECK_THROWS_AS(E::attention(x, x, x, {}), Cancelled);
}
