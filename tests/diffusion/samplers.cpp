#include <dalle2/diffusion/ddim_sampler.hpp>
#include <dalle2/diffusion/unclip_sampler.hpp>

#include <doctest/doctest.h>

#include <dalle2/core/random.hpp>
#include <dalle2/diffusion/denoise.hpp>
#include <dalle2/diffusion/schedule_config.hpp>

#include "../golden/deterministic.hpp"
#include "../golden/golden_files.hpp"

using namespace dalle2;

namespace {

using Values = std::vector<float>;

Values values(const std::string& name, std::int64_t count) {
    const Array array = golden::inputs(name, {count});
    return Values(array.begin(), array.end());
}

void check_close(const Values& found, const nlohmann::json& expected, double relative) {
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i)
        CHECK(std::abs(found[i] - expected[i].get<double>()) <=
              relative * (1.0 + std::abs(found[i])));
}

// A "network" that knows the answer: what an ideal model of each type would say for `clean`.
Values ideal_prediction(const NoiseSchedule& schedule, const Values& clean, const Values& noisy,
                        std::int64_t t) {
    const SignalAndNoise at = schedule.signal_and_noise(t);
    Values noise(clean.size()), prediction(clean.size());
    for (std::size_t i = 0; i < clean.size(); ++i)
        noise[i] = static_cast<float>((noisy[i] - at.signal * clean[i]) / at.noise);
    prediction_target(schedule.config.prediction_type, at, clean, noise, prediction);
    return prediction;
}

constexpr PredictionType all_types[] = {PredictionType::epsilon, PredictionType::sample,
                                        PredictionType::v_prediction};

}  // namespace

TEST_CASE("UnClipSampler takes the reference's steps, each kind of prediction and variance") {
    const auto golden = golden::read_json(golden::folder() / "schedulers.json");
    for (const auto& record : golden["unclip"]) {
        const std::string name = record["name"];
        CAPTURE(name);
        const NoiseScheduleConfig config =
            noise_schedule_config(record["config"], "schedulers.json");
        const UnClipSampler sampler(NoiseSchedule(config, SchedulePrecision::as_reference));
        const UnClipSampler exact_sampler{NoiseSchedule(config)};
        for (const auto& step : record["steps"]) {
            const std::int64_t t = step["timestep"];
            CAPTURE(t);
            const std::string prefix = name + "/" + std::to_string(t) + "/" +
                                       std::to_string(step["previous"].get<std::int64_t>());
            const Values sample = values(prefix + "/sample", 5);
            const Values output = values(prefix + "/output", 10);
            Values noise(5), result(5);
            TorchGenerator(static_cast<std::uint64_t>(t)).normal(noise);
            const std::span<const float> halves = output;
            const SamplerStep input{.timestep = t,
                                    .previous_timestep = step["previous"],
                                    .sample = sample,
                                    .prediction = halves.first(5),
                                    .variance_fraction = halves.last(5),
                                    .noise = noise};
            sampler.step(input, result);
            check_close(result, step["result"], 3e-6);
            exact_sampler.step(input, result);
            check_close(result, step["result"], 6e-4);
        }
    }
}

TEST_CASE("DdimSampler takes the reference's steps, each kind of prediction, eta and clipping") {
    const auto golden = golden::read_json(golden::folder() / "schedulers.json");
    for (const auto& record : golden["ddim"]) {
        const std::string name = record["name"];
        CAPTURE(name);
        const NoiseSchedule schedule(noise_schedule_config(record["config"], "schedulers.json"),
                                     SchedulePrecision::as_reference);
        DdimSampler sampler(
            schedule, {.eta = record["eta"], .noise_from_clipped_sample = record["from_clipped"]});
        for (const auto& step : record["steps"]) {
            const std::int64_t t = step["timestep"];
            CAPTURE(t);
            const std::string prefix = name + "/" + std::to_string(t);
            const Values sample = values(prefix + "/sample", 5),
                         output = values(prefix + "/output", 5),
                         noise = values(prefix + "/noise", 5);
            Values result(5);
            sampler.step({.timestep = t,
                          .previous_timestep = step["previous"],
                          .sample = sample,
                          .prediction = output,
                          .variance_fraction = {},
                          .noise = noise},
                         result);
            check_close(result, step["result"], 2e-5);
        }
    }
}

TEST_CASE(
    "With an ideal network every sampler ends at the picture, whatever the network predicts") {
    const Values clean = {-1.0f, -0.4f, 0.0f, 0.3f, 1.0f};
    const auto run = [&](auto sampler) {
        Array sample = make_array({5});
        TorchGenerator generator(3);
        std::uint64_t draws = 0;
        sample = generator.normal(Shape{5});
        denoise(
            sampler, 12, sample,
            [&](const Array& noisy, const DenoisingStep& step) {
                const Values prediction = ideal_prediction(
                    sampler.schedule(), clean, Values(noisy.begin(), noisy.end()), step.timestep);
                Array output = make_array({5});
                std::copy(prediction.begin(), prediction.end(), output.begin());
                return ModelPrediction{output, make_array({5}, 0.5f)};
            },
            [&] {
                ++draws;
                return generator.normal(Shape{5});
            });
        for (std::size_t i = 0; i < 5; ++i)
            CHECK(sample.data()[i] == doctest::Approx(clean[i]).epsilon(1e-3));
        return draws;
    };
    for (const PredictionType type : all_types) {
        for (const VarianceType variance :
             {VarianceType::fixed_small, VarianceType::fixed_small_log,
              VarianceType::learned_range}) {
            NoiseScheduleConfig config;
            config.prediction_type = type;
            config.variance_type = variance;
            CHECK(run(UnClipSampler{NoiseSchedule(config)}) == 11);
            CHECK(run(DdimSampler(NoiseSchedule(config), {.eta = 0.0})) == 0);
            CHECK(run(DdimSampler(NoiseSchedule(config), {.eta = 1.0})) == 11);
        }
    }
}

TEST_CASE("DDIM's inversion leads back to the noise that a picture came from") {
    NoiseScheduleConfig config;
    config.clip_sample = false;
    const DdimSampler sampler{NoiseSchedule(config)};
    const Values clean = {0.2f, -0.9f, 0.5f}, start = {1.2f, 0.3f, -0.7f};
    // A network whose answer depends on where it is, as a real one does.
    const auto step = [&](Values& sample, std::int64_t from, std::int64_t to) {
        Values prediction(3);
        for (std::size_t i = 0; i < 3; ++i) prediction[i] = std::tanh(sample[i]) * 0.8f;
        sampler.step({.timestep = from,
                      .previous_timestep = to,
                      .sample = sample,
                      .prediction = prediction,
                      .variance_fraction = {},
                      .noise = {}},
                     sample);
    };
    Values sample = start;
    for (std::int64_t t = 800; t > 0; --t) step(sample, t, t - 1);
    CHECK(std::abs(sample[0] - start[0]) > 0.1f);
    for (std::int64_t t = 0; t < 800; ++t) step(sample, t, t + 1);
    for (std::size_t i = 0; i < 3; ++i) CHECK(sample[i] == doctest::Approx(start[i]).epsilon(0.02));
}

TEST_CASE("DDIM with eta one and the posterior's variance is the ancestral sampler") {
    NoiseScheduleConfig config;
    config.variance_type = VarianceType::fixed_small;
    const Values sample = values("ddim-is-ddpm/sample", 6),
                 prediction = values("ddim-is-ddpm/output", 6),
                 noise = values("ddim-is-ddpm/noise", 6);
    const SamplerStep step{.timestep = 600,
                           .previous_timestep = 520,
                           .sample = sample,
                           .prediction = prediction,
                           .variance_fraction = {},
                           .noise = noise};
    Values ancestral(6), ddim(6);
    UnClipSampler{NoiseSchedule(config)}.step(step, ancestral);
    DdimSampler(NoiseSchedule(config), {.eta = 1.0}).step(step, ddim);
    for (std::size_t i = 0; i < 6; ++i)
        CHECK(ddim[i] == doctest::Approx(ancestral[i]).epsilon(1e-5));
}

TEST_CASE("A step without what it needs is refused") {
    NoiseScheduleConfig config;
    config.variance_type = VarianceType::learned_range;
    const UnClipSampler sampler{NoiseSchedule(config)};
    const Values five(5, 0.1f), four(4, 0.1f);
    Values result(5);
    SamplerStep step{.timestep = 500,
                     .previous_timestep = 400,
                     .sample = five,
                     .prediction = five,
                     .variance_fraction = five,
                     .noise = five};
    CHECK_NOTHROW(sampler.step(step, result));
    step.variance_fraction = {};
    CHECK_THROWS_AS(sampler.step(step, result), ShapeError);
    step.variance_fraction = five;
    step.noise = {};
    CHECK_THROWS_AS(sampler.step(step, result), ShapeError);
    step.noise = five;
    step.prediction = four;
    CHECK_THROWS_AS(sampler.step(step, result), ShapeError);
    CHECK_THROWS_AS(DdimSampler(NoiseSchedule(config), {.eta = -0.1}), ConfigError);
    step.prediction = five;
    step.previous_timestep = 600;
    CHECK_THROWS_AS(DdimSampler(NoiseSchedule(config), {.eta = 0.5}).step(step, result),
                    ConfigError);
}

TEST_CASE("A scheduler_config.json says what it said after a round trip, and errors name the key") {
    NoiseScheduleConfig config;
    config.prediction_type = PredictionType::v_prediction;
    config.variance_type = VarianceType::learned_range;
    config.beta_schedule = BetaSchedule::linear;
    config.clip_sample_range = 5.0;
    config.beta_end = 0.03;
    const NoiseScheduleConfig back = noise_schedule_config(to_json(config), "here.json");
    CHECK(back.prediction_type == config.prediction_type);
    CHECK(back.variance_type == config.variance_type);
    CHECK(back.beta_schedule == config.beta_schedule);
    CHECK(back.clip_sample_range == config.clip_sample_range);
    CHECK(back.beta_end == config.beta_end);

    for (const auto& wrong : std::vector<std::pair<const char*, const char*>>{
             {R"({"num_train_timesteps": 0})", "num_train_timesteps"},
             {R"({"num_train_timesteps": 1e12})", "num_train_timesteps"},
             {R"({"num_train_timesteps": "many"})", "num_train_timesteps"},
             {R"({"beta_schedule": "scaled_linear"})", "beta_schedule"},
             {R"({"prediction_type": 3})", "prediction_type"},
             {R"({"variance_type": "learned"})", "variance_type"},
             {R"({"clip_sample": "yes"})", "clip_sample"},
             {R"({"clip_sample_range": -1})", "clip_sample_range"},
             {R"({"thresholding": true})", "thresholding"},
             {R"({"_class_name": "PNDMScheduler"})", "_class_name"},
             {R"({"beta_start": 0.5})", "beta_start"},
             {"[1, 2]", "here.json"}}) {
        CAPTURE(std::string(wrong.first));
        CHECK_THROWS_WITH_AS(noise_schedule_config(nlohmann::json::parse(wrong.first), "here.json"),
                             doctest::Contains(wrong.second), ConfigError);
    }
}
