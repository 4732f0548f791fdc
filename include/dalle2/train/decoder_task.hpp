// Training the decoder: the picture from its CLIP embedding and its text (Ramesh et al. 2022,
// section 2.1).
#pragma once

#include <dalle2/clip/image_encoder.hpp>
#include <dalle2/clip/text_encoder.hpp>
#include <dalle2/decoder/text_projection.hpp>
#include <dalle2/decoder/unet.hpp>
#include <dalle2/train/condition_statistics.hpp>
#include <dalle2/train/initialize.hpp>
#include <dalle2/train/losses.hpp>
#include <dalle2/train/samples.hpp>
#include <dalle2/train/task.hpp>

namespace dalle2 {

struct DecoderTaskOptions {
    double embedding_drop = 0.1, text_drop = 0.5;  // how often each condition is left away
    // A picture's error counts min(1/σ², this) where the network predicts the sample: every noise
    // level then matters, the nearly clean ones not without end.
    double largest_weight = 6;
    // Timesteps are drawn with a density like t to this power: 0, all alike; 1, the noisy ones more
    // often, where the picture has to come out of the embedding and not out of itself.
    double timestep_bias = 0;
};

// The weight of a squared error at timestep t. A prediction of the noise or of v needs none.
inline double denoising_weight(const NoiseSchedule& schedule, std::int64_t t, double largest) {
    if (schedule.config.prediction_type != PredictionType::sample) return 1;
    return std::min(1 / (1 - schedule.alpha_cumprod(t)), largest);
}

// A timestep with a density like t^bias; `random` is uniform in [0, 1).
inline std::int64_t biased_timestep(std::int64_t timesteps, double bias, double random) {
    const auto t = static_cast<std::int64_t>(static_cast<double>(timesteps) *
                                             std::pow(random, 1 / (1 + bias)));
    return std::min(t, timesteps - 1);
}

// The timestep before t in a run of so many steps that they are `stride` apart: what a learned
// variance is for. It learns from strides of every order of size, because pictures are drawn in few
// steps: one that had only seen single steps, whose variance near pure noise is known anyway, would
// be arbitrary there. `random` is uniform in [0, 1).
inline std::int64_t random_previous_timestep(std::int64_t t, std::int64_t timesteps,
                                             double random) {
    const double longest = std::max(1.0, 0.5 * static_cast<double>(timesteps));
    const auto stride = static_cast<std::int64_t>(std::pow(longest, random));
    return t == 0 ? -1 : std::max<std::int64_t>(t - stride, 0);
}

// Weights of a UNet that start at zero: the last convolution or linear layer of each residual
// branch.
inline bool ends_residual_branch(const std::string& name) {
    return detail::ends_with(name, "conv2.weight") || detail::ends_with(name, "to_out.0.weight") ||
           detail::ends_with(name, "conv_out.weight");
}

template <class T>
class DecoderTask {
public:
    using E = Autodiff<T>;
    using Frozen = Cpu<T>;

    TextProjection<E> text_projection;  // of normalised embeddings: see fold_statistics
    UNet<E> unet;
    ConditionStatistics<E> statistics;  // of CLIP's embeddings; kept with the run, not trained

    DecoderTask(const TextProjectionConfig& projection_config, const UNetConfig& unet_config,
                const NoiseSchedule& schedule,
                std::shared_ptr<const ClipTextEncoder<Frozen>> text_encoder,
                std::shared_ptr<const ClipImageEncoder<Frozen>> image_encoder, SampleSource source,
                TextTokens tokens, std::uint64_t seed, DecoderTaskOptions options = {})
        : text_projection(projection_config),
          unet(unet_config),
          statistics(projection_config),
          schedule_(schedule),
          text_encoder_(std::move(text_encoder)),
          image_encoder_(std::move(image_encoder)),
          source_(std::move(source)),
          tokens_(std::move(tokens)),
          random_(seed, 2),
          options_(options) {
        initialize<E>(text_projection, seed);
        initialize<E>(unet, seed, ends_residual_branch);
        parameters_.add(text_projection, "text_proj");
        parameters_.add(unet, "decoder");
        parameters_.add(statistics, "statistics");
    }

    ParameterSet<T>& parameters() { return parameters_; }

    Metrics gradients(std::uint64_t first, std::int64_t count, double share) {
        const std::int64_t size = unet.config.sample_size;
        SampleBatch batch = read_batch(source_, first, count, size);
        const std::int64_t seen_size = image_encoder_->config.image_size;
        const Array seen = seen_size == size
                               ? batch.pictures
                               : read_batch(source_, first, count, seen_size).pictures;
        const auto embedding = Frozen::from_array(
            statistics.image(Frozen::to_array((*image_encoder_)(Frozen::from_array(seen)))));

        Array noise = make_array(shape_of(batch.pictures)), noisy = noise;
        const std::size_t pixels = noise.size() / static_cast<std::size_t>(count);
        std::vector<std::int64_t> timesteps(static_cast<std::size_t>(count)),
            previous(timesteps.size());
        std::vector<double> weights(timesteps.size()), keep_embedding(timesteps.size());
        kernels::parallel_for(count, [&](std::int64_t b, int) {
            const auto i = static_cast<std::size_t>(b);
            const CounterGenerator random = random_.fork(first + i);
            keep_embedding[i] = random.uniform(0) < options_.embedding_drop ? 0.0 : 1.0;
            if (random.uniform(1) < options_.text_drop) batch.captions[i].clear();
            timesteps[i] =
                biased_timestep(schedule_.size(), options_.timestep_bias, random.uniform(2));
            previous[i] =
                random_previous_timestep(timesteps[i], schedule_.size(), random.fork(1).uniform(0));
            weights[i] = denoising_weight(schedule_, timesteps[i], options_.largest_weight);
            const std::span<float> row(noise.data() + i * pixels, pixels);
            random.normal(3, row);
            schedule_.q_sample({batch.pictures.data() + i * pixels, pixels}, row, timesteps[i],
                               {noisy.data() + i * pixels, pixels});
        });

        const TokenBatch tokens = tokens_(batch.captions);
        const auto text = (*text_encoder_)(tokens);
        const auto text_embedding =
            Frozen::from_array(statistics.text(Frozen::to_array(text.text_embedding)));
        const auto condition =
            text_projection(conditional_embedding(embedding, keep_embedding),
                            E::constant(text_embedding), E::constant(text.hidden_states));
        const std::vector<std::int32_t> keep =
            with_extra_tokens(tokens, text_projection.config.clip_extra_context_tokens);
        const std::vector<double> times(timesteps.begin(), timesteps.end());
        const auto output =
            unet(E::from_array(noisy), times, &condition.time, {&condition.context, keep});

        DenoisingLoss loss = denoising_loss(schedule_, timesteps, previous, batch.pictures, noise,
                                            noisy, E::to_array(output), weights);
        loss.gradient *= static_cast<float>(share);
        E::backward({{output, cpu_tensor<T>(loss.gradient)}});
        return {{"loss", loss.loss}, {"bound", loss.bound}};
    }

private:
    // The picture's embedding, or the learned one that stands for none: row by row.
    typename E::Tensor conditional_embedding(const CpuTensor<T>& embedding,
                                             const std::vector<double>& keep) const {
        const auto none = text_projection.unconditional_image_embedding(1);
        std::vector<typename E::Tensor> rows;
        for (std::size_t b = 0; b < keep.size(); ++b)
            rows.push_back(
                keep[b] > 0 ? E::constant(Frozen::slice(embedding, 0, static_cast<std::int64_t>(b),
                                                        static_cast<std::int64_t>(b) + 1))
                            : none);
        return E::concatenate(rows, 0);
    }

    // The tokens made from the image embedding stand before the text and are never padding.
    static std::vector<std::int32_t> with_extra_tokens(const TokenBatch& tokens,
                                                       std::int64_t extra) {
        std::vector<std::int32_t> keep;
        for (std::int64_t b = 0; b < tokens.batch; ++b) {
            keep.insert(keep.end(), static_cast<std::size_t>(extra), 1);
            keep.insert(keep.end(), tokens.mask.begin() + b * tokens.tokens,
                        tokens.mask.begin() + (b + 1) * tokens.tokens);
        }
        return keep;
    }

    NoiseSchedule schedule_;
    std::shared_ptr<const ClipTextEncoder<Frozen>> text_encoder_;
    std::shared_ptr<const ClipImageEncoder<Frozen>> image_encoder_;
    SampleSource source_;
    TextTokens tokens_;
    CounterGenerator random_;
    DecoderTaskOptions options_;
    ParameterSet<T> parameters_;
};

}  // namespace dalle2
