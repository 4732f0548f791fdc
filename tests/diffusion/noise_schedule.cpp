#include <dalle2/diffusion/noise_schedule.hpp>

#include <doctest/doctest.h>

#include <dalle2/diffusion/prediction.hpp>
#include <dalle2/diffusion/sampler.hpp>

#include "../golden/deterministic.hpp"
#include "../golden/golden_files.hpp"

using namespace dalle2;

namespace {

NoiseScheduleConfig with(BetaSchedule beta_schedule) {
    NoiseScheduleConfig config;
    config.beta_schedule = beta_schedule;
    return config;
}

std::span<const float> span_of(const Array& array) { return {array.data(), array.size()}; }

}  // namespace

TEST_CASE("The tables of both schedules are the reference's, in its precision and in double") {
    const auto golden = golden::read_json(golden::folder() / "schedulers.json");
    const auto places = golden["places"].get<std::vector<std::size_t>>();
    for (const auto& schedule : {std::pair{"linear", BetaSchedule::linear},
                                 {"squaredcos_cap_v2", BetaSchedule::squaredcos_cap_v2}}) {
        const char* name = schedule.first;
        const BetaSchedule type = schedule.second;
        const NoiseSchedule exact(with(type));
        const NoiseSchedule as_reference(with(type), SchedulePrecision::as_reference);
        for (std::size_t i = 0; i < places.size(); ++i) {
            CAPTURE(name);
            CAPTURE(places[i]);
            const double beta = golden["betas"][name][i];
            const double remaining = golden["alphas_cumprod"][name][i];
            CHECK(exact.betas[places[i]] == doctest::Approx(beta).epsilon(1e-6));
            CHECK(exact.alphas_cumprod[places[i]] == doctest::Approx(remaining).epsilon(2e-5));
            // torch.linspace rounds its steps in single precision, so the linear one may differ
            // from a rounded exact value by that rounding.
            CHECK(as_reference.betas[places[i]] == doctest::Approx(beta).epsilon(3e-7));
            CHECK(as_reference.alphas_cumprod[places[i]] ==
                  doctest::Approx(remaining).epsilon(1e-6));
        }
    }
}

TEST_CASE("Cosine tables of single precision are the reference's to the last bit") {
    const auto golden = golden::read_json(golden::folder() / "schedulers.json");
    const auto places = golden["places"].get<std::vector<std::size_t>>();
    const NoiseSchedule schedule({}, SchedulePrecision::as_reference);
    for (std::size_t i = 0; i < places.size(); ++i) {
        CHECK(static_cast<float>(schedule.betas[places[i]]) ==
              golden["betas"]["squaredcos_cap_v2"][i].get<float>());
        CHECK(static_cast<float>(schedule.alphas_cumprod[places[i]]) ==
              golden["alphas_cumprod"]["squaredcos_cap_v2"][i].get<float>());
    }
}

TEST_CASE("Steps are spaced as the public pipelines space them") {
    const auto golden = golden::read_json(golden::folder() / "schedulers.json");
    for (const auto& [count, expected] : golden["timesteps"].items()) {
        const auto timesteps = evenly_spaced_timesteps(1000, std::stoll(count));
        if (expected.is_array()) {
            CHECK(timesteps == expected.get<std::vector<std::int64_t>>());
        } else {  // a sum that depends on every place
            std::int64_t sum = 0;
            for (std::size_t i = 0; i < timesteps.size(); ++i)
                sum += timesteps[i] * static_cast<std::int64_t>(i);
            CHECK(sum == expected.get<std::int64_t>());
        }
    }
    CHECK(evenly_spaced_timesteps(1000, 7) ==
          std::vector<std::int64_t>{999, 832, 666, 500, 333, 166, 0});
    CHECK(evenly_spaced_timesteps(1000, 1) == std::vector<std::int64_t>{999});
    CHECK_THROWS_AS(evenly_spaced_timesteps(1000, 0), ConfigError);
    CHECK_THROWS_AS(evenly_spaced_timesteps(1000, 1001), ConfigError);
}

TEST_CASE("Variances have the published values") {
    const NoiseSchedule schedule;
    CHECK(fixed_deviation(schedule.posterior(487, 486)) ==
          doctest::Approx(0.0549625).epsilon(1e-5));
    CHECK(fixed_deviation(schedule.posterior(999, 998)) ==
          doctest::Approx(0.9994987).epsilon(1e-6));
    CHECK(learned_log_variance(schedule.posterior(487, 486), 0.5) ==
          doctest::Approx(-5.79981).epsilon(1e-5));
    // The published value of timestep 1 carries the rounding of single precision.
    CHECK(learned_log_variance(schedule.posterior(1, 0), 0.5) ==
          doctest::Approx(-10.1713).epsilon(1e-4));
    const NoiseSchedule as_reference({}, SchedulePrecision::as_reference);
    CHECK(learned_log_variance(as_reference.posterior(1, 0), 0.5) ==
          doctest::Approx(-10.1713).epsilon(5e-6));
}

TEST_CASE("A learned variance reaches from the posterior's to beta") {
    const NoiseSchedule schedule;
    const Posterior posterior = schedule.posterior(500, 420);
    CHECK(std::exp(learned_log_variance(posterior, -1.0)) == doctest::Approx(posterior.variance));
    CHECK(std::exp(learned_log_variance(posterior, 1.0)) == doctest::Approx(posterior.beta));
    CHECK(posterior.variance < posterior.beta);
}

TEST_CASE("A step over many timesteps is the product of its single steps") {
    const NoiseSchedule schedule;
    double product = 1.0;
    for (std::size_t t = 401; t <= 500; ++t) product *= 1.0 - schedule.betas[t];
    CHECK(schedule.posterior(500, 400).beta == doctest::Approx(1.0 - product).epsilon(1e-12));
    // A posterior agrees with the forward process: the mean of x_prev for the mean of x_t.
    const Posterior posterior = schedule.posterior(500, 400);
    CHECK(posterior.clean + posterior.noisy * schedule.signal_and_noise(500).signal ==
          doctest::Approx(schedule.signal_and_noise(400).signal).epsilon(1e-12));
}

TEST_CASE("In exact arithmetic the last step gives the predicted picture itself") {
    const Posterior last = NoiseSchedule().posterior(0, -1);
    CHECK(last.clean == doctest::Approx(1.0).epsilon(1e-12));
    CHECK(last.noisy == 0.0);
    CHECK(last.variance == 0.0);
    // The reference loses a part in two thousand to rounding.
    const Posterior reference = NoiseSchedule({}, SchedulePrecision::as_reference).posterior(0, -1);
    CHECK(reference.clean == doctest::Approx(0.9994723).epsilon(1e-6));
}

TEST_CASE("The forward process and v are the reference's") {
    const auto golden = golden::read_json(golden::folder() / "schedulers.json");
    const NoiseSchedule schedule;
    const Array sample = golden::inputs("forward/sample", {1, 5}),
                noise = golden::inputs("forward/noise", {1, 5});
    for (const auto& record : golden["forward"]) {
        const std::int64_t t = record["timestep"];
        std::vector<float> noisy(5), v(5);
        schedule.q_sample(span_of(sample), span_of(noise), t, noisy);
        prediction_target(PredictionType::v_prediction, schedule.signal_and_noise(t),
                          span_of(sample), span_of(noise), v);
        for (std::size_t i = 0; i < 5; ++i) {
            CHECK(noisy[i] == doctest::Approx(record["noisy"][i].get<double>()).epsilon(1e-5));
            CHECK(v[i] == doctest::Approx(record["v"][i].get<double>()).epsilon(1e-5));
        }
    }
}

TEST_CASE("From what a network should predict, the clean sample and the noise come back") {
    const NoiseSchedule schedule;
    const float clean = 0.7f, noise = -1.3f;
    for (const std::int64_t t : {0, 17, 500, 980}) {
        const SignalAndNoise at = schedule.signal_and_noise(t);
        const double noisy = at.signal * clean + at.noise * noise;
        for (const auto type :
             {PredictionType::epsilon, PredictionType::sample, PredictionType::v_prediction}) {
            float target = 0.0f;
            prediction_target(type, at, {&clean, 1}, {&noise, 1}, {&target, 1});
            CAPTURE(t);
            CHECK(clean_sample_weights(type, at)(noisy, target) ==
                  doctest::Approx(clean).epsilon(1e-4));
            CHECK(noise_weights(type, at)(noisy, target) == doctest::Approx(noise).epsilon(1e-4));
        }
    }
}

TEST_CASE("Values that make no schedule are refused") {
    NoiseScheduleConfig config;
    config.num_train_timesteps = 0;
    CHECK_THROWS_AS(NoiseSchedule{config}, ConfigError);
    config = {};
    config.beta_end = 1.5;
    CHECK_THROWS_AS(NoiseSchedule{config}, ConfigError);
    config = {};
    config.clip_sample_range = std::nan("");
    CHECK_THROWS_AS(NoiseSchedule{config}, ConfigError);
}
