// A model of the whole family with random weights, small enough to run in milliseconds: in memory
// on any engine.
#pragma once

#include <cmath>
#include <string>
#include <utility>

#include <dalle2/clip/image_encoder.hpp>
#include <dalle2/clip/text_encoder.hpp>
#include <dalle2/core/random.hpp>
#include <dalle2/decoder/text_projection.hpp>
#include <dalle2/decoder/unet.hpp>
#include <dalle2/diffusion/noise_schedule.hpp>
#include <dalle2/nn/visit.hpp>
#include <dalle2/prior/prior_transformer.hpp>
#include <dalle2/text/clip_tokenizer.hpp>

namespace tiny_model {

using namespace dalle2;

inline constexpr std::int64_t width = 12, tokens = 16, small_size = 8, large_size = 16;

inline ClipTokenizer tokenizer() {
    BpeVocabulary vocabulary = {byte_tokens(),
                                {{"r", "e"}, {"re", "d</w>"}, {"o", "w"}, {"ow", "l</w>"}}};
    for (const auto& [left, right] : vocabulary.merges) vocabulary.tokens.push_back(left + right);
    vocabulary.tokens.push_back("<|startoftext|>");
    vocabulary.tokens.push_back("<|endoftext|>");
    return ClipTokenizer(std::move(vocabulary), {.max_length = tokens});
}

inline ClipTextConfig text_config() {
    return {.encoder = {.hidden_size = width,
                        .intermediate_size = 3 * width,
                        .num_attention_heads = 2,
                        .num_hidden_layers = 2},
            .vocab_size = tokenizer().vocabulary_size(),
            .max_position_embeddings = tokens,
            .projection_dim = width,
            .eos_token_id = tokenizer().end_id()};
}

inline ClipImageConfig image_config() {
    return {.encoder = {.hidden_size = width,
                        .intermediate_size = 2 * width,
                        .num_attention_heads = 3,
                        .num_hidden_layers = 1},
            .image_size = 8,
            .patch_size = 4,
            .projection_dim = width};
}

inline PriorConfig prior_config() {
    return {.embedding_dim = width,
            .num_attention_heads = 2,
            .attention_head_dim = 7,
            .num_layers = 2,
            .num_embeddings = tokens};
}

inline UNetConfig decoder_config() {
    return {
        .in_channels = 3,
        .out_channels = 6,
        .sample_size = small_size,
        .levels = {{.channels = 8},
                   {.channels = 12, .down_attention = true, .up_attention = true, .head_width = 6}},
        .layers_per_block = 1,
        .mid_attention = true,
        .context_width = 10,
        .norm_num_groups = 4,
        .conditioning = TimeConditioning::scale_shift};
}

inline TextProjectionConfig text_projection_config() {
    return {.clip_embeddings_dim = width,
            .time_embed_dim = 32,
            .cross_attention_dim = 10,
            .clip_extra_context_tokens = 3};
}

inline UNetConfig upsampler_config() {
    return {.in_channels = 6,
            .out_channels = 3,
            .sample_size = large_size,
            .levels = {{.channels = 6}, {.channels = 9}},
            .layers_per_block = 1,
            .norm_num_groups = 3};
}

inline NoiseScheduleConfig prior_schedule() {
    return {.prediction_type = PredictionType::sample,
            .variance_type = VarianceType::fixed_small_log,
            .clip_sample_range = 5};
}
inline NoiseScheduleConfig decoder_schedule() {
    return {.prediction_type = PredictionType::epsilon,
            .variance_type = VarianceType::learned_range};
}
inline NoiseScheduleConfig upsampler_schedule() {
    return {.prediction_type = PredictionType::epsilon,
            .variance_type = VarianceType::fixed_small_log};
}

// Fills a module with normals that keep activations near one; the same for the same seed.
template <class E, class Module>
Module filled(Module module, std::uint64_t seed) {
    TorchGenerator generator(seed);
    for_each_parameter(module, [&](const std::string& name, typename E::Parameter& parameter) {
        Array values = generator.normal(parameter.shape());
        const bool norm_scale =
            parameter.kind() == ParameterKind::vector && name.ends_with("weight");
        const double in = static_cast<double>(element_count(parameter.shape())) /
                          static_cast<double>(parameter.shape()[0]);
        const bool weight = parameter.kind() == ParameterKind::matrix ||
                            parameter.kind() == ParameterKind::convolution;
        values *= static_cast<float>(weight                             ? 1.0 / std::sqrt(in)
                                     : norm_scale || name == "clip_std" ? 0.1
                                                                        : 0.5);
        if (norm_scale || name == "clip_std") values += 1.0f;
        E::load(parameter, values);
    });
    return module;
}

template <class E>
ClipTextEncoder<E> text_encoder() {
    return filled<E>(ClipTextEncoder<E>(text_config()), 1);
}
template <class E>
ClipImageEncoder<E> image_encoder() {
    return filled<E>(ClipImageEncoder<E>(image_config()), 2);
}
template <class E>
PriorTransformer<E> prior() {
    return filled<E>(PriorTransformer<E>(prior_config()), 3);
}
template <class E>
TextProjection<E> text_projection() {
    return filled<E>(TextProjection<E>(text_projection_config()), 4);
}
template <class E>
UNet<E> decoder() {
    return filled<E>(UNet<E>(decoder_config()), 5);
}
template <class E>
UNet<E> upsampler_first() {
    return filled<E>(UNet<E>(upsampler_config()), 6);
}
template <class E>
UNet<E> upsampler_last() {
    return filled<E>(UNet<E>(upsampler_config()), 7);
}

}  // namespace tiny_model
