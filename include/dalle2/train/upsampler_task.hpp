// Training the upsampler: the large picture from the small one (Ramesh et al. 2022, section 2.1).
#pragma once

#include <dalle2/decoder/unet.hpp>
#include <dalle2/pipeline/resize.hpp>
#include <dalle2/train/decoder_task.hpp>

namespace dalle2 {

struct UpsamplerTaskOptions {
    std::int64_t low_size = 32;  // of the small picture
    std::int64_t crop = 64;      // trains on squares of this size; the network is convolutional
    // The small picture is spoilt, because what the decoder will hand over is not perfect either:
    // by a Gaussian blur (section 2.1) and by noise, then itself blurred to blotches; their
    // deviations, of the blurs in small pixels, are each drawn up to these.
    double largest_blur = 0.8;
    double largest_noise = 0.1;
    double largest_weight = 6, timestep_bias = 0;  // as the decoder's
};

template <class T>
class UpsamplerTask {
public:
    using E = Autodiff<T>;

    UNet<E> unet;

    UpsamplerTask(const UNetConfig& config, const NoiseSchedule& schedule, SampleSource source,
                  std::uint64_t seed, UpsamplerTaskOptions options = {})
        : unet(config),
          schedule_(schedule),
          source_(std::move(source)),
          random_(seed, 3),
          options_(options) {
        if (options_.crop > config.sample_size || config.sample_size % options_.low_size)
            throw ConfigError("upsampler: crops of " + std::to_string(options_.crop) +
                              " pixels out of " + std::to_string(config.sample_size) + ", from " +
                              std::to_string(options_.low_size) +
                              "; expected a crop that fits and a whole factor");
        initialize<E>(unet, seed, ends_residual_branch);
        parameters_.add(unet, "super_res");
    }

    ParameterSet<T>& parameters() { return parameters_; }
    const UpsamplerTaskOptions& options() const { return options_; }

    Metrics gradients(std::uint64_t first, std::int64_t count, double share) {
        const std::int64_t size = unet.config.sample_size, crop = options_.crop;
        const SampleBatch batch = read_batch(source_, first, count, size);
        Array clean = make_array({count, crop, crop, 3}), noise = clean, noisy = clean;
        Array input = make_array({count, crop, crop, 6});
        const auto pixels = static_cast<std::size_t>(crop * crop * 3);
        std::vector<std::int64_t> timesteps(static_cast<std::size_t>(count));
        std::vector<double> weights(timesteps.size());
        kernels::parallel_for(count, [&](std::int64_t b, int) {
            const auto i = static_cast<std::size_t>(b);
            const CounterGenerator random = random_.fork(first + i);
            const Array whole = picture(batch.pictures, b, size);
            const Array guide = resize_bicubic(spoilt(box_mean(whole), random), size, size);

            timesteps[i] =
                biased_timestep(schedule_.size(), options_.timestep_bias, random.uniform(0));
            weights[i] = denoising_weight(schedule_, timesteps[i], options_.largest_weight);
            const auto room = static_cast<std::uint32_t>(size - crop + 1);
            const std::int64_t top = random.below(1, room), left = random.below(2, room);
            const std::span<float> clean_row(clean.data() + i * pixels, pixels);
            const std::span<float> noise_row(noise.data() + i * pixels, pixels);
            const std::span<float> noisy_row(noisy.data() + i * pixels, pixels);
            copy_crop(whole, top, left, clean_row.data());
            random.fork(1).normal(0, noise_row);
            schedule_.q_sample(clean_row, noise_row, timesteps[i], noisy_row);
            std::vector<float> guide_row(pixels);
            copy_crop(guide, top, left, guide_row.data());
            for (std::size_t pixel = 0; pixel < pixels / 3; ++pixel)
                for (std::size_t c = 0; c < 3; ++c) {
                    float* at = input.data() + (i * pixels / 3 + pixel) * 6;
                    at[c] = noisy_row[pixel * 3 + c];
                    at[3 + c] = guide_row[pixel * 3 + c];
                }
        });

        const std::vector<double> times(timesteps.begin(), timesteps.end());
        const auto output = unet(E::from_array(input), times);
        DenoisingLoss loss = denoising_loss(schedule_, timesteps, {}, clean, noise, noisy,
                                            E::to_array(output), weights);
        loss.gradient *= static_cast<float>(share);
        E::backward({{output, cpu_tensor<T>(loss.gradient)}});
        return {{"loss", loss.loss}};
    }

private:
    static Array picture(const Array& pictures, std::int64_t index, std::int64_t size) {
        Array one = make_array({1, size, size, 3});
        std::copy_n(pictures.data() + index * size * size * 3, size * size * 3, one.data());
        return one;
    }

    // What the decoder is trained to draw: each pixel the mean of a square of the large picture.
    Array box_mean(const Array& x) const {
        const std::int64_t factor = unet.config.sample_size / options_.low_size;
        Array small = make_array({1, options_.low_size, options_.low_size, 3});
        const float share = 1.0f / static_cast<float>(factor * factor);
        for (std::int64_t y = 0; y < unet.config.sample_size; ++y)
            for (std::int64_t v = 0; v < unet.config.sample_size; ++v)
                for (std::int64_t c = 0; c < 3; ++c)
                    small(0, y / factor, v / factor, c) += share * x(0, y, v, c);
        return small;
    }

    Array spoilt(const Array& small, const CounterGenerator& random) const {
        Array noise = make_array(shape_of(small));
        random.fork(2).normal(0, {noise.data(), noise.size()});
        const float deviation = static_cast<float>(options_.largest_noise * random.uniform(3));
        const Array spoilt =
            gaussian_blur(small, options_.largest_blur * random.uniform(4)) +
            deviation * gaussian_blur(noise, options_.largest_blur * random.uniform(5));
        return xt::clip(spoilt, -1.0f, 1.0f);
    }

    void copy_crop(const Array& x, std::int64_t top, std::int64_t left, float* out) const {
        const std::int64_t size = unet.config.sample_size, crop = options_.crop;
        for (std::int64_t y = 0; y < crop; ++y)
            out = std::copy_n(x.data() + ((top + y) * size + left) * 3, crop * 3, out);
    }

    NoiseSchedule schedule_;
    SampleSource source_;
    CounterGenerator random_;
    UpsamplerTaskOptions options_;
    ParameterSet<T> parameters_;
};

}  // namespace dalle2
