// The losses' gradients against central finite differences.
#include <doctest/doctest.h>

#include <dalle2/core/random.hpp>
#include <dalle2/train/losses.hpp>

using namespace dalle2;

namespace {

Array draw(const Shape& shape, std::uint64_t seed) {
    Array x = make_array(shape);
    CounterGenerator(seed).normal(0, {x.data(), x.size()});
    return x;
}

// loss is a function of x, whose elements it may change back and forth.
template <class Loss>
void check_gradient(Array& x, const Array& gradient, const Loss& loss, double tolerance) {
    REQUIRE(shape_of(gradient) == shape_of(x));
    for (std::size_t i = 0; i < x.size(); ++i) {
        const float saved = x.data()[i], step = 1e-2f;
        x.data()[i] = saved + step;
        const double above = loss();
        x.data()[i] = saved - step;
        const double below = loss();
        x.data()[i] = saved;
        CHECK(static_cast<double>(gradient.data()[i]) ==
              doctest::Approx((above - below) / (2 * static_cast<double>(step)))
                  .epsilon(tolerance)
                  .scale(0.1));
    }
}

}  // namespace

TEST_CASE("the gradients of the contrastive loss are right") {
    Array text = draw({5, 7}, 1), image = draw({5, 7}, 2);
    for (const bool with_equal_texts : {false, true}) {
        std::vector<bool> same(25);
        if (with_equal_texts) same[1 * 5 + 3] = same[3 * 5 + 1] = true;
        double log_scale = 1.5;
        const auto loss = [&] { return contrastive_loss(text, image, log_scale, same).loss; };
        const ContrastiveLoss result = contrastive_loss(text, image, log_scale, same);
        check_gradient(text, result.text_gradient, loss, 1e-3);
        check_gradient(image, result.image_gradient, loss, 1e-3);
        log_scale += 1e-4;
        const double above = loss();
        log_scale -= 2e-4;
        CHECK(result.log_scale_gradient == doctest::Approx((above - loss()) / 2e-4).epsilon(1e-4));
    }
}

TEST_CASE("the contrastive loss of matching directions is small and of equal ones log(batch)") {
    Array x = make_array({3, 3});
    for (int i = 0; i < 3; ++i) x(i, i) = 2.0f;
    CHECK(contrastive_loss(x, x, std::log(100.0)).loss ==
          doctest::Approx(0).epsilon(1e-6).scale(1));
    CHECK(contrastive_loss(x, x, std::log(100.0)).accuracy == 1.0);
    CHECK(contrastive_loss(make_array({4, 3}, 1.0f), make_array({4, 3}, 1.0f), 0).loss ==
          doctest::Approx(std::log(4.0)));
}

TEST_CASE("the gradients of the weighted squared error are right") {
    Array prediction = draw({3, 4}, 3);
    const Array target = draw({3, 4}, 4);
    for (const auto& weights : {std::vector<double>{}, std::vector<double>{1, 0.5, 3}}) {
        const RegressionLoss result = mean_squared_error(prediction, target, weights);
        check_gradient(
            prediction, result.gradient,
            [&] { return mean_squared_error(prediction, target, weights).loss; }, 1e-3);
    }
}

TEST_CASE(
    "the gradients of the denoising loss are right for each prediction type, the variance's alone "
    "from the bound") {
    for (const PredictionType type :
         {PredictionType::epsilon, PredictionType::sample, PredictionType::v_prediction}) {
        const NoiseSchedule schedule(
            {.prediction_type = type, .variance_type = VarianceType::learned_range});
        const std::vector<std::int64_t> timesteps = {400, 0, 37}, previous = {399, -1, 36};
        const Array clean = draw({3, 2, 1, 3}, 5) * 0.3f, noise = draw({3, 2, 1, 3}, 6);
        Array noisy = clean;
        for (std::size_t b = 0; b < 3; ++b)
            schedule.q_sample({clean.data() + b * 6, 6}, {noise.data() + b * 6, 6}, timesteps[b],
                              {noisy.data() + b * 6, 6});
        Array output = draw({3, 2, 1, 6}, 7) * 0.5f;
        const std::vector<double> weights = {1, 2, 0.5};
        const double bound_weight = 0.001;
        const auto evaluate = [&] {
            return denoising_loss(schedule, timesteps, previous, clean, noise, noisy, output,
                                  weights, bound_weight);
        };
        const DenoisingLoss result = evaluate();
        for (std::size_t i = 0; i < output.size(); ++i) {
            const bool variance = i % 6 >= 3;
            const float saved = output.data()[i], step = 1e-2f;
            output.data()[i] = saved + step;
            const DenoisingLoss above = evaluate();
            output.data()[i] = saved - step;
            const DenoisingLoss below = evaluate();
            output.data()[i] = saved;
            const double difference = variance ? bound_weight * 1000 * (above.bound - below.bound)
                                               : above.loss - below.loss;
            CHECK(static_cast<double>(result.gradient.data()[i]) ==
                  doctest::Approx(difference / (2 * static_cast<double>(step)))
                      .epsilon(5e-3)
                      .scale(1e-2));
        }
    }
}
