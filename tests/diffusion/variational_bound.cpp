#include <dalle2/diffusion/variational_bound.hpp>

#include <doctest/doctest.h>

#include "../golden/deterministic.hpp"

using namespace dalle2;

namespace {

std::vector<float> values(const std::string& name) {
    const Array array = golden::inputs(name, {7});
    return std::vector<float>(array.begin(), array.end());
}

NoiseSchedule learned_schedule(PredictionType type) {
    NoiseScheduleConfig config;
    config.prediction_type = type;
    config.variance_type = VarianceType::learned_range;
    return NoiseSchedule(config);
}

}  // namespace

TEST_CASE("The divergence from the true posterior vanishes for the true posterior alone") {
    const auto schedule = learned_schedule(PredictionType::sample);
    const std::vector<float> clean = values("clean"), noisy = values("noisy");
    std::vector<float> fraction(7, -1.0f);  // the posterior's own variance
    CHECK(variational_bound(schedule, 300, 299, clean, noisy, clean, fraction) ==
          doctest::Approx(0.0).epsilon(1e-9));
    fraction[2] = 0.0f;
    CHECK(variational_bound(schedule, 300, 299, clean, noisy, clean, fraction) > 0.0);
    std::vector<float> wrong = clean;
    wrong[0] += 0.1f;
    CHECK(variational_bound(schedule, 300, 299, clean, noisy, wrong, std::vector<float>(7, -1.0f)) >
          0.0);
}

TEST_CASE("The gradient of the bound by the variance agrees with finite differences") {
    for (const auto type :
         {PredictionType::epsilon, PredictionType::sample, PredictionType::v_prediction}) {
        const auto schedule = learned_schedule(type);
        std::vector<float> clean = values("clean"), noise = values("noise"),
                           fraction = values("fraction");
        clean[0] = 1.0f;  // the open levels at both ends
        clean[1] = -1.0f;
        for (float& x : clean) x = std::clamp(x, -1.0f, 1.0f);
        for (const auto& step : std::vector<std::pair<std::int64_t, std::int64_t>>{
                 {0, -1}, {1, 0}, {2, 1}, {500, 499}, {500, 460}, {700, 500}, {999, 998}}) {
            const std::int64_t t = step.first, before = step.second;
            CAPTURE(before);
            std::vector<float> noisy(7), prediction(7), gradient(7, 0.0f);
            schedule.q_sample(clean, noise, t, noisy);
            prediction_target(type, schedule.signal_and_noise(t), clean, noise, prediction);
            for (std::size_t i = 0; i < 7; ++i)  // a little wrong, as networks are
                prediction[i] += 0.02f * static_cast<float>(std::sin(static_cast<double>(3 * i)));
            const double weight = 2.0;
            variational_bound(schedule, t, before, clean, noisy, prediction, fraction, gradient,
                              weight);
            for (std::size_t i = 0; i < 7; ++i) {
                CAPTURE(t);
                CAPTURE(i);
                auto up = fraction, down = fraction;
                up[i] += 0.01f;
                down[i] -= 0.01f;
                const double slope =
                    weight *
                    (variational_bound(schedule, t, before, clean, noisy, prediction, up) -
                     variational_bound(schedule, t, before, clean, noisy, prediction, down)) /
                    (static_cast<double>(up[i]) - down[i]);
                CHECK(gradient[i] == doctest::Approx(slope).epsilon(2e-3).scale(1e-4));
            }
        }
    }
}

TEST_CASE("A variance that is far too small is pulled up, but not without bound") {
    const auto schedule = learned_schedule(PredictionType::sample);
    const std::vector<float> clean(7, 0.5f), noisy(7, 0.1f), wrong(7, -0.5f);
    const auto slope = [&](float fraction) {
        std::vector<float> gradient(7, 0.0f);
        variational_bound(schedule, 900, 700, clean, noisy, wrong, std::vector<float>(7, fraction),
                          gradient);
        return gradient[0];
    };
    CHECK(slope(-2.0f) < 0.0f);
    CHECK(slope(-30.0f) < slope(-2.0f));
    CHECK(slope(-300.0f) < 2.0f * slope(-30.0f));
    CHECK(slope(-3000.0f) == slope(-300.0f));
}

TEST_CASE("The probabilities of all 8-bit levels sum to one") {
    double sum = 0.0;
    for (int level = 0; level < 256; ++level) {
        const double clean = level / 127.5 - 1.0;
        sum += std::exp(-detail::level_nll(clean, 0.3, std::log(0.04)).value);
    }
    CHECK(sum == doctest::Approx(1.0).epsilon(1e-9));
}

TEST_CASE("The bound accumulates into the gradient and stays finite for hopeless predictions") {
    const auto schedule = learned_schedule(PredictionType::sample);
    const std::vector<float> clean(7, 0.5f), noisy(7, 0.1f), hopeless(7, -50.0f), fraction(7, 0.0f);
    std::vector<float> gradient(7, 1.0f);
    const double bound =
        variational_bound(schedule, 0, -1, clean, noisy, hopeless, fraction, gradient);
    CHECK(std::isfinite(bound));
    CHECK(bound > 10.0);
    for (const float g : gradient) CHECK(g == 1.0f);
}
