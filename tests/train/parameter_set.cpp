// The optimiser over parameters of every size, and what it does with gradients that are none.
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <dalle2/engine/autodiff.hpp>
#include <dalle2/nn/layers.hpp>
#include <dalle2/train/parameter_set.hpp>

using namespace dalle2;

namespace {

using TestEngine = Autodiff<float>;

std::vector<float> some_values(std::size_t count, unsigned seed) {
    std::mt19937 generator(seed);
    std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
    std::vector<float> values(count);
    for (float& value : values) value = uniform(generator);
    return values;
}

// A weight of more than one piece, and a bias.
struct LargeLinear {
    Linear<TestEngine> linear{101, 203};
    ParameterSet<float> parameters;

    LargeLinear() {
        linear.weight.assign(some_values(203 * 101, 1));
        linear.bias->assign(some_values(203, 2));
        parameters.add(linear);
    }
    void set_gradients(float scale) {
        linear.weight.gradient() = some_values(203 * 101, 3);
        linear.bias->gradient() = some_values(203, 4);
        for (float& g : linear.weight.gradient()) g *= scale;
        for (float& g : linear.bias->gradient()) g *= scale;
    }
};

}  // namespace

TEST_CASE("a step changes every element of every parameter as AdamW says") {
    LargeLinear large;
    const std::vector<float> weight = large.linear.weight.values(),
                             bias = large.linear.bias->values();
    large.set_gradients(0.5f);
    const std::vector<float> dw = large.linear.weight.gradient(),
                             db = large.linear.bias->gradient();
    double squares = 0;
    for (const float g : dw) squares += static_cast<double>(g) * g;
    for (const float g : db) squares += static_cast<double>(g) * g;
    const double norm = std::sqrt(squares), rate = 0.1;
    const OptimizerOptions o;
    CHECK(large.parameters.optimize(1, rate, o) == doctest::Approx(norm).epsilon(1e-6));
    // The first step is the gradient's sign, but for epsilon: both moments are the gradient's own.
    const auto check = [&](const std::vector<float>& before, const std::vector<float>& gradient,
                           const std::vector<float>& after, double decay) {
        for (std::size_t i = 0; i < before.size(); ++i) {
            const double g = static_cast<double>(gradient[i]) / norm;
            const double expected = static_cast<double>(before[i]) * (1 - rate * decay) -
                                    rate * g / (std::abs(g) + o.epsilon);
            REQUIRE(static_cast<double>(after[i]) ==
                    doctest::Approx(expected).epsilon(1e-5).scale(1));
        }
    };
    check(weight, dw, large.linear.weight.values(), o.weight_decay);
    check(bias, db, large.linear.bias->values(), 0);
    CHECK(!large.linear.weight.has_gradient());
}

TEST_CASE("a gradient that is not finite changes nothing, and nothing of it is left") {
    LargeLinear large, other;
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        large.set_gradients(1);
        large.linear.weight.gradient()[20000] = bad;
        CHECK(!std::isfinite(large.parameters.optimize(1, 0.1, {})));
        CHECK(large.linear.weight.values() == other.linear.weight.values());
        CHECK(large.linear.bias->values() == other.linear.bias->values());
    }
    // As if it had not been, through the kernels that fill gradients.
    for (LargeLinear* one : {&large, &other}) {
        CpuTensor<float> x({3, 101}), dy({3, 203});
        std::fill_n(x.data(), x.count(), 0.5f);
        std::fill_n(dy.data(), dy.count(), 0.25f);
        TestEngine::backward({{one->linear(TestEngine::constant(x)), dy}});
        CHECK(std::isfinite(one->parameters.optimize(1, 0.1, {})));
    }
    CHECK(large.linear.weight.values() == other.linear.weight.values());
    CHECK(large.linear.bias->values() == other.linear.bias->values());
    for (std::size_t i = 0; i < 2; ++i) {
        CHECK(large.parameters.entries()[i].first_moment ==
              other.parameters.entries()[i].first_moment);
        CHECK(large.parameters.entries()[i].average == other.parameters.entries()[i].average);
    }
}
