// The decoder learns from CLIP embeddings brought to mean 0 and deviation 1. The published format
// knows nothing of that: it is folded into the first linear layers when a model is written, and
// taken out of them when training begins with one.
#pragma once

#include <utility>

#include <dalle2/decoder/text_projection.hpp>
#include <dalle2/nn/visit.hpp>

namespace dalle2 {

// x is seen as (x − mean) / deviation; both [embedding].
template <Engine E>
struct EmbeddingNormalization {
    typename E::Parameter mean, deviation;

    explicit EmbeddingNormalization(std::int64_t width)
        : mean({width}, ParameterKind::vector), deviation({width}, ParameterKind::vector) {
        set(make_array({width}), make_array({width}, 1.0f));
    }
    void set(const Array& m, const Array& d) {
        E::load(mean, m);
        E::load(deviation, d);
    }

    // [batch, embedding] → the same.
    Array operator()(Array x) const {
        x = (x - E::store(mean)) / E::store(deviation);
        return x;
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("mean", self.mean);
        visitor("deviation", self.deviation);
    }
};

template <Engine E>
struct ConditionStatistics {
    using Config = TextProjectionConfig;

    EmbeddingNormalization<E> image, text;

    explicit ConditionStatistics(const Config& c)
        : image(c.clip_embeddings_dim), text(c.clip_embeddings_dim) {}

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("image", self.image);
        visitor("text", self.text);
    }
};

namespace detail {

// Makes layer(x) what layer((x − mean) / deviation) was.
template <Engine E>
void change_inputs(Linear<E>& layer, const Array& mean, const Array& deviation) {
    Array weight = E::store(layer.weight), bias = E::store(*layer.bias);
    const Shape shape = shape_of(weight);
    for (std::int64_t o = 0; o < shape[0]; ++o)
        for (std::int64_t i = 0; i < shape[1]; ++i) {
            weight(o, i) /= deviation(i);
            bias(o) -= weight(o, i) * mean(i);
        }
    E::load(layer.weight, weight);
    E::load(*layer.bias, bias);
}

template <Engine E>
void change_inputs(TextProjection<E>& projection, const Array& image_mean,
                   const Array& image_deviation, const Array& text_mean,
                   const Array& text_deviation) {
    change_inputs(projection.clip_image_embeddings_project_to_time_embeddings, image_mean,
                  image_deviation);
    change_inputs(projection.clip_extra_context_tokens_proj, image_mean, image_deviation);
    change_inputs(projection.embedding_proj, text_mean, text_deviation);
    auto& none = projection.learned_classifier_free_guidance_embeddings;
    E::load(none, Array(E::store(none) * image_deviation + image_mean));
}

}  // namespace detail

// From a projection that sees normalised embeddings to one that sees them as CLIP makes them.
template <Engine E>
void fold_statistics(TextProjection<E>& projection, const ConditionStatistics<E>& s) {
    detail::change_inputs(projection, E::store(s.image.mean), E::store(s.image.deviation),
                          E::store(s.text.mean), E::store(s.text.deviation));
}

// The way back.
template <Engine E>
void unfold_statistics(TextProjection<E>& projection, const ConditionStatistics<E>& s) {
    const auto inverse = [&](const EmbeddingNormalization<E>& n) -> std::pair<Array, Array> {
        const Array deviation = 1.0f / E::store(n.deviation);
        return {-E::store(n.mean) * deviation, deviation};
    };
    const auto [image_mean, image_deviation] = inverse(s.image);
    const auto [text_mean, text_deviation] = inverse(s.text);
    detail::change_inputs(projection, image_mean, image_deviation, text_mean, text_deviation);
}

}  // namespace dalle2
