#include <dalle2/diffusion/guidance.hpp>

#include <doctest/doctest.h>

#include <limits>

using namespace dalle2;

TEST_CASE("Guidance acts on the prediction alone; the variance is the conditional one") {
    // Two pictures of one pixel and two channels: unconditional 1 and 2, then conditional 1 and 2.
    Array output = make_array({4, 1, 1, 4});
    for (std::size_t i = 0; i < output.size(); ++i) output.data()[i] = static_cast<float>(i * i);
    const ModelPrediction guided = guided_prediction(output, 2, 3.0);
    CHECK(shape_of(guided.prediction) == Shape{2, 1, 1, 2});
    CHECK(shape_of(guided.variance_fraction) == Shape{2, 1, 1, 2});
    for (std::size_t picture = 0; picture < 2; ++picture) {
        for (std::size_t c = 0; c < 2; ++c) {
            const float unconditional = output.data()[picture * 4 + c];
            const float conditional = output.data()[8 + picture * 4 + c];
            CHECK(guided.prediction.data()[picture * 2 + c] ==
                  unconditional + 3.0f * (conditional - unconditional));
            CHECK(guided.variance_fraction.data()[picture * 2 + c] ==
                  output.data()[8 + picture * 4 + 2 + c]);
        }
    }
}

TEST_CASE("A guidance scale of one is no guidance, of zero ignores the condition") {
    Array output = make_array({2, 3});
    for (std::size_t i = 0; i < 6; ++i) output.data()[i] = static_cast<float>(i) - 1.5f;
    const ModelPrediction one = guided_prediction(output, 3, 1.0),
                          zero = guided_prediction(output, 3, 0.0);
    CHECK(one.variance_fraction.size() == 0);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(one.prediction.data()[i] == output.data()[3 + i]);
        CHECK(zero.prediction.data()[i] == output.data()[i]);
    }
}

TEST_CASE("An output without guidance is split along its channels") {
    Array output = make_array({1, 2, 1, 2});
    for (std::size_t i = 0; i < 4; ++i) output.data()[i] = static_cast<float>(i);
    const ModelPrediction split = split_prediction(output, 1);
    CHECK(split.prediction.data()[0] == 0.0f);
    CHECK(split.prediction.data()[1] == 2.0f);
    CHECK(split.variance_fraction.data()[0] == 1.0f);
    CHECK(split.variance_fraction.data()[1] == 3.0f);
    CHECK(split_prediction(output, 2).variance_fraction.size() == 0);
}

TEST_CASE("Guidance refuses scales that are no numbers and outputs that do not fit") {
    CHECK_THROWS_AS(
        guided_prediction(make_array({2, 3}), 3, std::numeric_limits<double>::quiet_NaN()),
        ConfigError);
    CHECK_THROWS_AS(guided_prediction(make_array({3, 3}), 3, 2.0), ShapeError);
    CHECK_THROWS_AS(guided_prediction(make_array({2, 5}), 3, 2.0), ShapeError);
    CHECK_THROWS_AS(split_prediction(make_array({2, 5}), 3), ShapeError);
}
