// Every operation's gradient against central finite differences, in double, at odd sizes.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <random>

#include <dalle2/engine/autodiff.hpp>

using namespace dalle2;

namespace {

using E = Autodiff<double>;
using Tensor = E::Tensor;
using Value = E::Value;

class DrawValues {
public:
    Value tensor(const Shape& shape) {
        Value x(shape);
        for (std::int64_t i = 0; i < x.count(); ++i) x.data()[i] = normal_(generator_);
        return x;
    }
    E::Parameter parameter(const Shape& shape, ParameterKind kind) {
        E::Parameter p(shape, kind);
        std::vector<double> values(static_cast<std::size_t>(element_count(shape)));
        for (double& value : values) value = normal_(generator_);
        p.assign(values);
        return p;
    }

private:
    std::mt19937 generator_{7};
    std::normal_distribution<double> normal_;
};

using Function =
    std::function<Tensor(const std::vector<Tensor>&, const std::vector<E::Parameter>&)>;

// Compares d(Σ w·f)/d(input or parameter) for random w with finite differences, element by element.
void check_gradients(const Function& f, std::vector<Value> inputs,
                     std::vector<E::Parameter> parameters = {}) {
    DrawValues draw;
    const auto constants = [&] {
        std::vector<Tensor> tensors;
        for (const Value& input : inputs) tensors.push_back(E::constant(input));
        return tensors;
    };
    const Value weights = draw.tensor(E::shape(f(constants(), parameters)));
    const auto objective = [&] {
        const Value y = f(constants(), parameters).value;
        double sum = 0;
        for (std::int64_t i = 0; i < y.count(); ++i) sum += y.data()[i] * weights.data()[i];
        return sum;
    };
    const auto difference = [&](double& element, const std::function<void()>& changed) {
        const double step = 1e-5, saved = element;
        element = saved + step, changed();
        const double above = objective();
        element = saved - step, changed();
        const double below = objective();
        element = saved, changed();
        return (above - below) / (2 * step);
    };

    std::vector<Value> gradients(inputs.size());
    std::vector<Tensor> leaves;
    for (std::size_t i = 0; i < inputs.size(); ++i)
        leaves.push_back(E::leaf(
            inputs[i], [&gradients, i](const Value& gradient) { gradients[i] = gradient; }));
    E::backward({{f(leaves, parameters), weights}});

    for (std::size_t i = 0; i < inputs.size(); ++i) {
        REQUIRE(gradients[i].shape() == inputs[i].shape());
        for (std::int64_t j = 0; j < inputs[i].count(); ++j)
            REQUIRE(gradients[i].data()[j] ==
                    doctest::Approx(difference(inputs[i].data()[j], [] {})).epsilon(1e-6).scale(1));
    }
    for (E::Parameter& p : parameters) {
        const std::vector<double> gradient = p.gradient();
        for (std::size_t j = 0; j < gradient.size(); ++j)
            REQUIRE(gradient[j] ==
                    doctest::Approx(difference(p.mutable_values()[j], [&] { p.changed(); }))
                        .epsilon(1e-6)
                        .scale(1));
    }
}

}  // namespace

TEST_CASE("the gradients of linear layers are right") {
    DrawValues draw;
    for (const Shape& x : {Shape{1, 1}, Shape{3, 5}, Shape{2, 17, 7}}) {
        const std::int64_t in = x.back(), out = 2 * in + 1;
        check_gradients([](auto& t, auto& p) { return E::linear(t[0], p[0], &p[1]); },
                        {draw.tensor(x)},
                        {draw.parameter({out, in}, ParameterKind::matrix),
                         draw.parameter({out}, ParameterKind::vector)});
        check_gradients([](auto& t, auto& p) { return E::linear(t[0], p[0], nullptr); },
                        {draw.tensor(x)}, {draw.parameter({out, in}, ParameterKind::matrix)});
        Shape result = x;
        result.back() = out;
        check_gradients([](auto& t, auto& p) { return E::linear(t[0], p[0], nullptr, &t[1]); },
                        {draw.tensor(x), draw.tensor(result)},
                        {draw.parameter({out, in}, ParameterKind::matrix)});
        check_gradients(
            [](auto& t, auto& p) {
                const auto y = E::linear(t[0], p[0], nullptr, &t[1], Activation::gelu);
                // (Finite differences do not see an activation that is not there at all.)
                CHECK(E::to_array(y) ==
                      E::to_array(
                          E::activate(E::linear(t[0], p[0], nullptr, &t[1]), Activation::gelu)));
                return y;
            },
            {draw.tensor(x), draw.tensor(result)},
            {draw.parameter({out, in}, ParameterKind::matrix)});
    }
}

TEST_CASE("the gradients of convolutions are right") {
    DrawValues draw;
    struct Case {
        Shape x;
        std::int64_t out, kernel;
        Conv2dOptions options;
    };
    for (const Case& c :
         {Case{{2, 5, 4, 3}, 2, 3, {.padding = 1}}, Case{{1, 1, 1, 1}, 1, 3, {.padding = 1}},
          Case{{1, 4, 6, 5}, 17, 1, {}}, Case{{2, 6, 6, 3}, 4, 3, {.stride = 3}},
          Case{{1, 7, 5, 2}, 3, 3, {.stride = 2, .padding = 1}}})
        check_gradients(
            [&](auto& t, auto& p) { return E::conv2d(t[0], p[0], &p[1], c.options); },
            {draw.tensor(c.x)},
            {draw.parameter({c.out, c.x[3], c.kernel, c.kernel}, ParameterKind::convolution),
             draw.parameter({c.out}, ParameterKind::vector)});
    for (const Shape& added : {Shape{2, 5, 4, 3}, Shape{2, 3}})
        check_gradients(
            [](auto& t, auto& p) { return E::conv2d(t[0], p[0], nullptr, {.padding = 1}, &t[1]); },
            {draw.tensor({2, 5, 4, 2}), draw.tensor(added)},
            {draw.parameter({3, 2, 3, 3}, ParameterKind::convolution)});
}

TEST_CASE("the gradients of norms are right") {
    DrawValues draw;
    const auto vectors = [&](std::int64_t n) {
        return std::vector{draw.parameter({n}, ParameterKind::vector),
                           draw.parameter({n}, ParameterKind::vector)};
    };
    for (const Activation activation : {Activation::none, Activation::silu}) {
        for (const std::int64_t groups : {1, 3, 6}) {
            const GroupNormOptions options{.groups = groups, .activation = activation};
            check_gradients(
                [&](auto& t, auto& p) { return E::group_norm(t[0], p[0], p[1], nullptr, options); },
                {draw.tensor({2, 3, 5, 6})}, vectors(6));
            check_gradients(
                [&](auto& t, auto& p) { return E::group_norm(t[0], p[0], p[1], &t[1], options); },
                {draw.tensor({2, 3, 5, 6}), draw.tensor({2, 12})}, vectors(6));
        }
    }
    check_gradients([](auto& t, auto& p) { return E::layer_norm(t[0], p[0], p[1], 1e-5); },
                    {draw.tensor({3, 2, 7})}, vectors(7));
}

TEST_CASE("the gradients of attention are right") {
    DrawValues draw;
    const Array causal = [] {
        Array mask = make_array({1, 5, 5});
        for (std::int64_t q = 0; q < 5; ++q)
            for (std::int64_t k = q + 1; k < 5; ++k) mask(0, q, k) = -10000.0f;
        return mask;
    }();
    check_gradients(
        [&](auto& t, auto&) {
            return E::attention(t[0], t[1], t[2], {.heads = 2, .mask = &causal});
        },
        {draw.tensor({2, 5, 6}), draw.tensor({2, 5, 6}), draw.tensor({2, 5, 6})});
    Array padding = make_array({2, 1, 7});
    padding(1, 0, 6) = padding(0, 0, 0) = -10000.0f;
    check_gradients(
        [&](auto& t, auto&) {
            return E::attention(t[0], t[1], t[2], {.heads = 1, .mask = &padding});
        },
        {draw.tensor({2, 3, 5}), draw.tensor({2, 7, 5}), draw.tensor({2, 7, 5})});
    check_gradients([&](auto& t, auto&) { return E::attention(t[0], t[1], t[2], {.heads = 3}); },
                    {draw.tensor({1, 1, 9}), draw.tensor({1, 4, 9}), draw.tensor({1, 4, 9})});
}

TEST_CASE("the gradients of activations are right") {
    DrawValues draw;
    for (const Activation activation :
         {Activation::none, Activation::silu, Activation::gelu, Activation::quick_gelu})
        check_gradients([&](auto& t, auto&) { return E::activate(t[0], activation); },
                        {draw.tensor({5, 7})});
}

TEST_CASE("the gradients of sums are right") {
    DrawValues draw;
    check_gradients([](auto& t, auto&) { return E::add(t[0], t[1]); },
                    {draw.tensor({3, 5}), draw.tensor({3, 5})});
    check_gradients([](auto& t, auto&) { return E::add(t[0], t[1]); },
                    {draw.tensor({4, 3, 5}), draw.tensor({3, 5})});
    check_gradients([](auto& t, auto&) { return E::add_per_channel(t[0], t[1]); },
                    {draw.tensor({2, 3, 4, 5}), draw.tensor({2, 5})});
    check_gradients([](auto& t, auto&) { return E::scale(t[0], -0.7); }, {draw.tensor({11})});
    check_gradients([](auto& t, auto&) { return E::add(E::add(t[0], t[0]), E::scale(t[0], 3)); },
                    {draw.tensor({4})});
}

TEST_CASE("the gradients of moves are right") {
    DrawValues draw;
    for (const std::int64_t axis : {0, 1, -1})
        check_gradients(
            [&](auto& t, auto&) {
                return E::concatenate({t[0], t[1], t[0]}, axis);
            },
            {draw.tensor({2, 3, 4}), draw.tensor({2, 3, 4})});
    for (const std::int64_t axis : {0, 1, 2})
        check_gradients([&](auto& t, auto&) { return E::slice(t[0], axis, 1, 3); },
                        {draw.tensor({3, 4, 5})});
    check_gradients([](auto& t, auto&) { return E::reshape(t[0], {6, 2}); }, {draw.tensor({3, 4})});
    check_gradients([](auto& t, auto&) { return E::transpose(t[0]); }, {draw.tensor({2, 3, 5})});
    check_gradients([](auto& t, auto&) { return E::repeat(t[0], 3); }, {draw.tensor({1, 2, 5})});
    check_gradients([](auto& t, auto&) { return E::average_pool2(t[0]); },
                    {draw.tensor({2, 4, 6, 3})});
    check_gradients([](auto& t, auto&) { return E::average_pool2(t[0]); },
                    {draw.tensor({1, 5, 3, 2})});
    check_gradients([](auto& t, auto&) { return E::upsample_nearest2(t[0]); },
                    {draw.tensor({2, 3, 2, 5})});
}

TEST_CASE("the gradients of look-ups are right") {
    DrawValues draw;
    const std::vector<std::int32_t> ids = {3, 0, 3, 4, 1};
    check_gradients([&](auto&, auto& p) { return E::embedding(p[0], ids); }, {},
                    {draw.parameter({5, 3}, ParameterKind::table)});
    const std::vector<std::int32_t> positions = {2, 0};
    check_gradients([&](auto& t, auto&) { return E::select_tokens(t[0], positions); },
                    {draw.tensor({2, 3, 4})});
    check_gradients([](auto&, auto& p) { return E::value(p[0]); }, {},
                    {draw.parameter({2, 3}, ParameterKind::tensor)});
}
