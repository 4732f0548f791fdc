// Training the diffusion prior: the picture's CLIP embedding from the text's (Ramesh et al. 2022,
// section 2.2, formula (2)).
#pragma once

#include <dalle2/clip/image_encoder.hpp>
#include <dalle2/clip/text_encoder.hpp>
#include <dalle2/prior/prior_transformer.hpp>
#include <dalle2/train/initialize.hpp>
#include <dalle2/train/losses.hpp>
#include <dalle2/train/samples.hpp>
#include <dalle2/train/task.hpp>
#include <dalle2/train/text_groups.hpp>

namespace dalle2 {

struct PriorTaskOptions {
    double text_drop = 0.1;  // how often the text is replaced by the empty one
};

template <class T>
class PriorTask {
public:
    using E = Autodiff<T>;
    using Frozen = Cpu<T>;

    PriorTransformer<E> prior;

    // The encoders are trained already and stay as they are. clip_mean and clip_std [embedding]
    // bring the embeddings of pictures to mean 0 and deviation 1.
    PriorTask(const PriorConfig& config, const NoiseSchedule& schedule,
              std::shared_ptr<const ClipTextEncoder<Frozen>> text_encoder,
              std::shared_ptr<const ClipImageEncoder<Frozen>> image_encoder, const Array& clip_mean,
              const Array& clip_std, SampleSource source, TextTokens tokens, std::uint64_t seed,
              PriorTaskOptions options = {})
        : prior(config),
          schedule_(schedule),
          text_encoder_(std::move(text_encoder)),
          image_encoder_(std::move(image_encoder)),
          source_(std::move(source)),
          tokens_(std::move(tokens)),
          random_(seed, 1),
          options_(options) {
        initialize<E>(prior, seed);
        set_statistics(clip_mean, clip_std);
        parameters_.add(prior, "prior");
    }

    // Replaces clip_mean and clip_std.
    void set_statistics(const Array& clip_mean, const Array& clip_std) {
        const Shape shape = {1, prior.config.embedding_dim};
        mean_ = reshaped(clip_mean, shape);
        std_ = reshaped(clip_std, shape);
        E::load(prior.clip_mean, mean_);
        E::load(prior.clip_std, std_);
    }

    ParameterSet<T>& parameters() { return parameters_; }

    Metrics gradients(std::uint64_t first, std::int64_t count, double share) {
        SampleBatch batch = read_batch(source_, first, count, image_encoder_->config.image_size);
        const std::int64_t width = prior.config.embedding_dim;
        Array clean = Frozen::to_array((*image_encoder_)(Frozen::from_array(batch.pictures)));
        clean = (clean - mean_) / std_;
        Array noisy = make_array(shape_of(clean));
        std::vector<double> timesteps;
        for (std::int64_t b = 0; b < count; ++b) {
            const CounterGenerator random = random_.fork(first + static_cast<std::uint64_t>(b));
            if (random.uniform(0) < options_.text_drop)
                batch.captions[static_cast<std::size_t>(b)].clear();
            const std::int64_t t = random.below(1, static_cast<std::uint32_t>(schedule_.size()));
            timesteps.push_back(static_cast<double>(t));
            const std::span<float> row(noisy.data() + b * width, static_cast<std::size_t>(width));
            random.normal(2, row);
            schedule_.q_sample({clean.data() + b * width, row.size()}, row, t, row);
        }
        // Each group forward and back by itself, so that only one is in memory.
        double loss = 0;
        for (const TextGroup& group : groups_by_length(tokens_(batch.captions))) {
            const double part =
                static_cast<double>(group.tokens.batch) / static_cast<double>(count);
            const auto text = (*text_encoder_)(group.tokens);
            const auto predicted =
                prior(E::from_array(take_rows(noisy, group.rows)), take_rows(timesteps, group.rows),
                      E::constant(text.text_embedding), E::constant(text.hidden_states),
                      group.tokens.mask);
            RegressionLoss error =
                mean_squared_error(E::to_array(predicted), take_rows(clean, group.rows));
            error.gradient *= static_cast<float>(part * share);
            E::backward({{predicted, cpu_tensor<T>(error.gradient)}});
            loss += part * error.loss;
        }
        return {{"loss", loss}};
    }

private:
    NoiseSchedule schedule_;
    std::shared_ptr<const ClipTextEncoder<Frozen>> text_encoder_;
    std::shared_ptr<const ClipImageEncoder<Frozen>> image_encoder_;
    Array mean_, std_;
    SampleSource source_;
    TextTokens tokens_;
    CounterGenerator random_;
    PriorTaskOptions options_;
    ParameterSet<T> parameters_;
};

}  // namespace dalle2
