// The samplers that solve the diffusion's differential equation, beside diffusers' in double
// precision: whole runs with a network of one line.
#include <dalle2/diffusion/dpm_solver_sampler.hpp>
#include <dalle2/diffusion/euler_sampler.hpp>
#include <dalle2/diffusion/heun_sampler.hpp>

#include <doctest/doctest.h>

#include <dalle2/core/random.hpp>
#include <dalle2/diffusion/ddim_sampler.hpp>
#include <dalle2/diffusion/denoise.hpp>
#include <dalle2/diffusion/schedule_config.hpp>
#include <dalle2/pipeline/any_sampler.hpp>

#include "../golden/deterministic.hpp"
#include "../golden/golden_files.hpp"

using namespace dalle2;

namespace {

constexpr SamplerKind all_kinds[] = {SamplerKind::unclip,     SamplerKind::ddim,
                                     SamplerKind::dpm_solver, SamplerKind::sde_dpm_solver,
                                     SamplerKind::euler,      SamplerKind::euler_ancestral,
                                     SamplerKind::heun};

// x_0 and ε of a "network" that knows the answer, as its output.
ModelPrediction ideal_prediction(const NoiseSchedule& schedule, const Array& clean,
                                 const Array& noisy, std::int64_t t) {
    const SignalAndNoise at = schedule.signal_and_noise(t);
    Array noise = make_array(shape_of(clean)), output = noise;
    for (std::size_t i = 0; i < clean.size(); ++i)
        noise.data()[i] =
            static_cast<float>((noisy.data()[i] - at.signal * clean.data()[i]) / at.noise);
    prediction_target(schedule.config.prediction_type, at, {clean.data(), clean.size()},
                      {noise.data(), noise.size()}, {output.data(), output.size()});
    return {output, make_array(shape_of(clean), 0.3f)};
}

// The end of a run whose network's output depends on where it is, as a real one's does.
Array run(AnySampler sampler, std::int64_t steps, std::uint64_t seed = 1) {
    TorchGenerator generator(seed);
    Array sample = generator.normal(Shape{9});
    denoise(
        sampler, steps, sample,
        [](const Array& x, const DenoisingStep& step) {
            Array output = make_array({9});
            for (std::size_t i = 0; i < 9; ++i)
                output.data()[i] =
                    0.8f * std::tanh(2 * x.data()[i]) + static_cast<float>(step.timestep) / 5000.0f;
            return ModelPrediction{output, make_array({0})};
        },
        [&] { return generator.normal(Shape{9}); });
    return sample;
}

double distance(const Array& a, const Array& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        sum += std::pow(double{a.data()[i]} - double{b.data()[i]}, 2);
    return std::sqrt(sum / static_cast<double>(a.size()));
}

NoiseScheduleConfig predicting_samples() {
    NoiseScheduleConfig config;
    config.prediction_type = PredictionType::sample;
    return config;
}

}  // namespace

TEST_CASE(
    "The solvers take the reference's steps: kinds of prediction, clipping, counts of steps") {
    for (const auto& record : golden::read_json(golden::folder() / "solvers.json")) {
        const std::string name = record["name"];
        CAPTURE(name);
        NoiseScheduleConfig config;
        config.prediction_type =
            noise_schedule_config({{"prediction_type", record["prediction_type"]}}, name)
                .prediction_type;
        config.clip_sample = !record["limit"].is_null();
        if (config.clip_sample) config.clip_sample_range = record["limit"];
        AnySampler sampler = make_sampler(sampler_kind_from_name(record["sampler"], "solvers.json"),
                                          NoiseSchedule(config));
        CHECK(sampler.timesteps(record["steps"]) ==
              record["timesteps"].get<std::vector<std::int64_t>>());

        // Heun's method magnifies the rounding of a float sample by the first step's fall in noise.
        const double tolerance =
            record["sampler"] == "heun" && record["prediction_type"] == "epsilon" ? 2e-4 : 2e-5;
        Array sample = golden::inputs(name + "/sample", {7});
        std::size_t step_index = 0;
        const auto check = [&] {  // the sample after the step before
            if (step_index == 0) return;
            CAPTURE(step_index);
            const auto& expected = record["results"][step_index - 1];
            for (std::size_t i = 0; i < 7; ++i)
                CHECK(std::abs(sample.data()[i] - expected[i].get<double>()) <=
                      tolerance * (1 + std::abs(sample.data()[i])));
        };
        denoise(
            sampler, record["steps"], sample,
            [&](const Array& x, const DenoisingStep& step) {
                check();
                ++step_index;
                Array output = make_array({7});
                for (std::size_t i = 0; i < 7; ++i)
                    output.data()[i] =
                        static_cast<float>(std::tanh(2.0 * x.data()[i]) / 2 +
                                           static_cast<double>(step.timestep) / 2000);
                return ModelPrediction{output, make_array({0})};
            },
            [&] { return golden::inputs(name + "/noise/" + std::to_string(step_index - 1), {7}); });
        check();
        CHECK(step_index == record["results"].size());
    }
}

TEST_CASE("With an ideal network every sampler ends at the picture in any number of steps") {
    Array clean = make_array({5});
    const float values[] = {-1.0f, -0.4f, 0.0f, 0.3f, 1.0f};
    std::copy(std::begin(values), std::end(values), clean.begin());
    for (const SamplerKind kind : all_kinds)
        for (const PredictionType type :
             {PredictionType::epsilon, PredictionType::sample, PredictionType::v_prediction})
            for (const std::int64_t steps : {1, 2, 3, 8, 1000}) {
                CAPTURE(to_string(kind));
                CAPTURE(steps);
                NoiseScheduleConfig config;
                config.prediction_type = type;
                config.variance_type = VarianceType::learned_range;
                const NoiseSchedule schedule(config);
                AnySampler sampler = make_sampler(kind, schedule);
                TorchGenerator generator(3);
                Array sample = generator.normal(Shape{5});
                denoise(
                    sampler, steps, sample,
                    [&](const Array& noisy, const DenoisingStep& step) {
                        return ideal_prediction(schedule, clean, noisy, step.timestep);
                    },
                    [&] { return generator.normal(Shape{5}); });
                for (std::size_t i = 0; i < 5; ++i)
                    CHECK(std::abs(sample.data()[i] - clean.data()[i]) < 1e-3);
            }
}

TEST_CASE("Euler's method is DDIM, and with noise the ancestral sampler of the same variance") {
    for (const PredictionType type : {PredictionType::epsilon, PredictionType::sample}) {
        NoiseScheduleConfig config;
        config.prediction_type = type;
        const NoiseSchedule schedule(config);
        CHECK(distance(run(EulerSampler(schedule), 12), run(DdimSampler(schedule), 12)) < 1e-5);
        CHECK(distance(run(EulerSampler(schedule, {.ancestral = true}), 12),
                       run(DdimSampler(schedule, {.eta = 1}), 12)) < 1e-5);
    }
}

TEST_CASE("A solver of second order comes nearer to the solution with as many network calls") {
    const NoiseSchedule schedule(predicting_samples());
    const Array solution = run(DpmSolverSampler(schedule), 500);
    CHECK(distance(run(EulerSampler(schedule), 1000), solution) < 3e-3);
    CHECK(distance(run(HeunSampler(schedule), 500), solution) < 3e-3);
    const double euler = distance(run(EulerSampler(schedule), 20), solution);
    CHECK(distance(run(DpmSolverSampler(schedule), 20), solution) < 0.5 * euler);
    // As many calls, and steps over which the noise falls by equal factors: Heun's mean of slopes
    // means nothing where it falls a thousandfold, as it does in the first of a few even steps.
    const HeunOptions even_in_log_snr = {.spacing = TimestepSpacing::log_snr};
    CHECK(distance(run(HeunSampler(schedule, even_in_log_snr), 10), solution) < 0.5 * euler);
}

TEST_CASE("A solver remembers only the steps of its own run") {
    const NoiseSchedule schedule(predicting_samples());
    DpmSolverSampler used(schedule);
    const Array first = run(used, 6);
    // As a run that was stopped in the middle leaves it.
    const std::vector<float> values(9, 0.5f);
    std::vector<float> result(9);
    used.step({.timestep = 700,
               .previous_timestep = 600,
               .sample = values,
               .prediction = values,
               .variance_fraction = {},
               .noise = {}},
              result);
    CHECK(run(used, 6) == first);
}

TEST_CASE("Noise is asked for by the stochastic solvers alone, and not for the last step") {
    const NoiseSchedule schedule;
    for (const SamplerKind kind : all_kinds) {
        const AnySampler sampler = make_sampler(kind, schedule);
        const bool noisy = kind == SamplerKind::unclip || kind == SamplerKind::sde_dpm_solver ||
                           kind == SamplerKind::euler_ancestral;
        CHECK(sampler.draws_noise(500, 400) == noisy);
        CHECK_FALSE(sampler.draws_noise(0, -1));
    }
}

TEST_CASE(
    "Timesteps at even log signal-to-noise ratios descend from the noisiest to the cleanest") {
    const NoiseSchedule schedule;
    for (const std::int64_t count : {1, 2, 3, 7, 25, 400, 1000}) {
        const auto timesteps = spaced_timesteps(schedule, count, TimestepSpacing::log_snr);
        REQUIRE(timesteps.size() == static_cast<std::size_t>(count));
        CHECK(timesteps.front() == 999);
        if (count > 1) CHECK(timesteps.back() == 0);
        for (std::size_t i = 1; i < timesteps.size(); ++i) CHECK(timesteps[i] < timesteps[i - 1]);
    }
    // As even as whole timesteps can be where they lie close.
    const auto ratio = [&](std::int64_t t) { return log_snr(schedule.signal_and_noise(t)); };
    const auto seven = spaced_timesteps(schedule, 7, TimestepSpacing::log_snr);
    const double stride = (ratio(0) - ratio(999)) / 6;
    for (std::size_t i = 3; i + 1 < seven.size(); ++i)
        CHECK(ratio(seven[i]) - ratio(seven[i - 1]) == doctest::Approx(stride).epsilon(0.2));
}

TEST_CASE("A solver's step without what it needs is refused") {
    const NoiseSchedule schedule;
    const std::vector<float> five(5, 0.1f), four(4, 0.1f);
    std::vector<float> result(5);
    const SamplerStep step{.timestep = 500,
                           .previous_timestep = 400,
                           .sample = five,
                           .prediction = five,
                           .variance_fraction = {},
                           .noise = {}};
    SamplerStep wrong = step;
    wrong.prediction = four;
    SamplerStep wrong_variance = step;
    wrong_variance.variance_fraction = four;
    for (const SamplerKind kind :
         {SamplerKind::dpm_solver, SamplerKind::euler, SamplerKind::heun}) {
        AnySampler sampler = make_sampler(kind, schedule);
        CHECK_THROWS_AS(sampler.step(wrong, result), ShapeError);
        CHECK_THROWS_AS(sampler.step(wrong_variance, result), ShapeError);
        CHECK_NOTHROW(sampler.step(step, result));
    }
    for (const SamplerKind kind : {SamplerKind::sde_dpm_solver, SamplerKind::euler_ancestral}) {
        AnySampler sampler = make_sampler(kind, schedule);
        CHECK_THROWS_AS(sampler.step(step, result), ShapeError);  // no noise
    }
    SamplerStep correction = step;
    correction.previous_timestep = 500;
    CHECK_THROWS_AS(HeunSampler(schedule).step(correction, result), ShapeError);
}
