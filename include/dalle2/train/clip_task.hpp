// Training CLIP: texts and pictures into one space (Radford et al. 2021).
#pragma once

#include <dalle2/clip/image_encoder.hpp>
#include <dalle2/clip/text_encoder.hpp>
#include <dalle2/train/initialize.hpp>
#include <dalle2/train/losses.hpp>
#include <dalle2/train/samples.hpp>
#include <dalle2/train/task.hpp>
#include <dalle2/train/text_groups.hpp>

namespace dalle2 {

struct ClipTaskOptions {
    // The inverse temperature learns, but not beyond this; CLIP's authors stop at 100. At a high
    // one, texts need hardly differ to be told apart, and all that is seen gets packed into a few
    // dimensions, out of which a decoder unpacks it with difficulty. A low one spreads it over all
    // of them.
    double largest_scale = 100;
};

template <class T>
class ClipTask {
public:
    using E = Autodiff<T>;

    ClipTextEncoder<E> text_encoder;
    ClipImageEncoder<E> image_encoder;
    typename E::Parameter logit_scale;  // logarithm of the inverse temperature

    ClipTask(const ClipTextConfig& text, const ClipImageConfig& image, SampleSource source,
             TextTokens tokens, std::uint64_t seed, ClipTaskOptions options = {})
        : text_encoder(text),
          image_encoder(image),
          logit_scale({1}, ParameterKind::vector),
          source_(std::move(source)),
          tokens_(std::move(tokens)),
          options_(options) {
        initialize<E>(text_encoder, seed);
        initialize<E>(image_encoder, seed + 1);
        logit_scale.assign({static_cast<Accumulator<T>>(std::log(1 / 0.07))});
        parameters_.add(text_encoder, "text_encoder");
        parameters_.add(image_encoder, "image_encoder");
        parameters_.add(logit_scale, "logit_scale");
    }

    ParameterSet<T>& parameters() { return parameters_; }

    Metrics gradients(std::uint64_t first, std::int64_t count, double share) {
        const SampleBatch batch =
            read_batch(source_, first, count, image_encoder.config.image_size);
        // The loss does not depend on the order of the pairs: they stand as their texts come.
        std::vector<std::int64_t> order;
        std::vector<typename E::Tensor> texts;
        for (const TextGroup& group : groups_by_length(tokens_(batch.captions))) {
            order.insert(order.end(), group.rows.begin(), group.rows.end());
            texts.push_back(text_encoder.embedding(group.tokens));
        }
        const auto text = E::concatenate(texts, 0);
        const auto image = image_encoder(E::from_array(take_rows(batch.pictures, order)));
        const double log_scale = std::min<double>(static_cast<double>(logit_scale.values()[0]),
                                                  std::log(options_.largest_scale));
        ContrastiveLoss loss = contrastive_loss(E::to_array(text), E::to_array(image), log_scale,
                                                equal(take_rows(batch.captions, order)));
        loss.text_gradient *= static_cast<float>(share);
        loss.image_gradient *= static_cast<float>(share);
        logit_scale.gradient()[0] += static_cast<Accumulator<T>>(share * loss.log_scale_gradient);
        E::backward({{text, cpu_tensor<T>(loss.text_gradient)},
                     {image, cpu_tensor<T>(loss.image_gradient)}});
        return {{"loss", loss.loss}, {"accuracy", loss.accuracy}, {"scale", std::exp(log_scale)}};
    }

private:
    static std::vector<bool> equal(const std::vector<std::string>& captions) {
        const std::size_t n = captions.size();
        std::vector<bool> same(n * n);
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t j = 0; j < n; ++j) same[i * n + j] = captions[i] == captions[j];
        return same;
    }

    SampleSource source_;
    TextTokens tokens_;
    ClipTaskOptions options_;
    ParameterSet<T> parameters_;
};

}  // namespace dalle2
