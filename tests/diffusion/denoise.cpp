#include <dalle2/diffusion/denoise.hpp>

#include <doctest/doctest.h>

#include <dalle2/diffusion/unclip_sampler.hpp>

using namespace dalle2;

TEST_CASE("A run of one step goes straight to the predicted sample, without noise") {
    NoiseScheduleConfig config;
    config.prediction_type = PredictionType::sample;
    UnClipSampler sampler{NoiseSchedule(config)};
    Array sample = make_array({3}, 2.0f);
    std::vector<std::int64_t> seen;
    denoise(
        sampler, 1, sample,
        [&](const Array& noisy, const DenoisingStep& step) {
            seen.push_back(step.timestep);
            return ModelPrediction{noisy * 0.25f, make_array({0})};
        },
        []() -> Array { throw Error("no step of this run draws noise"); });
    CHECK(seen == std::vector<std::int64_t>{999});
    for (const float value : sample) CHECK(value == doctest::Approx(0.5f));
}

TEST_CASE("A run tells its steps and draws noise once for each but the last") {
    UnClipSampler sampler{NoiseSchedule()};
    Array sample = make_array({2}, 0.5f);
    std::vector<std::int64_t> indices, timesteps;
    int draws = 0;
    denoise(
        sampler, 4, sample,
        [&](const Array&, const DenoisingStep& step) {
            indices.push_back(step.index);
            timesteps.push_back(step.timestep);
            CHECK(step.count == 4);
            return ModelPrediction{make_array({2}), make_array({0})};
        },
        [&] {
            ++draws;
            return make_array({2}, 0.1f);
        });
    CHECK(indices == std::vector<std::int64_t>{0, 1, 2, 3});
    CHECK(timesteps == std::vector<std::int64_t>{999, 666, 333, 0});
    CHECK(draws == 3);
}

TEST_CASE("Noise for pictures is drawn plane by plane, as the reference keeps its pictures") {
    const Shape shape = {2, 3, 4, 5};  // [batch, height, width, channels]
    TorchGenerator generator(1), same(1);
    const Array pictures = normal_pictures(generator, shape);
    const Array planes = same.normal(Shape{2, 5, 3, 4});
    CHECK(shape_of(pictures) == shape);
    for (std::size_t b = 0; b < 2; ++b)
        for (std::size_t y = 0; y < 3; ++y)
            for (std::size_t x = 0; x < 4; ++x)
                for (std::size_t c = 0; c < 5; ++c)
                    CHECK(pictures(b, y, x, c) == planes(b, c, y, x));
    CHECK(generator == same);
}
