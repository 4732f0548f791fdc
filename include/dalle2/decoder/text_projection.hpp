// What the decoder hears: a CLIP image embedding and the text, brought into the form in which the
// UNet takes them (Ramesh et al. 2022, section 2.1; diffusers' UnCLIPTextProjModel).
#pragma once

#include <dalle2/nn/layers.hpp>

namespace dalle2 {

struct TextProjectionConfig {
    std::int64_t clip_embeddings_dim, time_embed_dim, cross_attention_dim;
    std::int64_t clip_extra_context_tokens = 4;
};

template <Engine E>
struct DecoderCondition {
    typename E::Tensor context;  // [batch, extra + tokens, cross attention width]
    typename E::Tensor time;     // [batch, time width], added to the time embedding
};

template <Engine E>
struct TextProjection {
    using Tensor = typename E::Tensor;
    using Config = TextProjectionConfig;

    Config config;
    typename E::Parameter learned_classifier_free_guidance_embeddings;
    Linear<E> embedding_proj;
    Linear<E> clip_image_embeddings_project_to_time_embeddings;
    Linear<E> clip_extra_context_tokens_proj;
    Linear<E> encoder_hidden_states_proj;
    LayerNorm<E> text_encoder_hidden_states_norm;

    explicit TextProjection(const Config& c)
        : config(c),
          learned_classifier_free_guidance_embeddings({c.clip_embeddings_dim},
                                                      ParameterKind::tensor),
          embedding_proj(c.clip_embeddings_dim, c.time_embed_dim),
          clip_image_embeddings_project_to_time_embeddings(c.clip_embeddings_dim, c.time_embed_dim),
          clip_extra_context_tokens_proj(c.clip_embeddings_dim,
                                         c.clip_extra_context_tokens * c.cross_attention_dim),
          encoder_hidden_states_proj(c.clip_embeddings_dim, c.cross_attention_dim),
          text_encoder_hidden_states_norm(c.cross_attention_dim) {}

    // image_embedding and text_embedding [batch, embedding], text_states [batch, tokens,
    // embedding].
    DecoderCondition<E> operator()(const Tensor& image_embedding, const Tensor& text_embedding,
                                   const Tensor& text_states) const {
        const std::int64_t batch = E::shape(image_embedding)[0];
        const Tensor time =
            E::add(clip_image_embeddings_project_to_time_embeddings(image_embedding),
                   embedding_proj(text_embedding));
        // The checkpoints number the extra tokens along the last axis.
        const Tensor extra = E::transpose(
            E::reshape(clip_extra_context_tokens_proj(image_embedding),
                       {batch, config.cross_attention_dim, config.clip_extra_context_tokens}));
        const Tensor text =
            text_encoder_hidden_states_norm(encoder_hidden_states_proj(text_states));
        return {E::concatenate({extra, text}, 1), time};
    }

    // [batch, embedding]: stands for "no image embedding" in classifier-free guidance.
    Tensor unconditional_image_embedding(std::int64_t batch) const {
        return E::repeat(E::reshape(E::value(learned_classifier_free_guidance_embeddings),
                                    {1, config.clip_embeddings_dim}),
                         batch);
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("learned_classifier_free_guidance_embeddings",
                self.learned_classifier_free_guidance_embeddings);
        visitor("embedding_proj", self.embedding_proj);
        visitor("clip_image_embeddings_project_to_time_embeddings",
                self.clip_image_embeddings_project_to_time_embeddings);
        visitor("clip_extra_context_tokens_proj", self.clip_extra_context_tokens_proj);
        visitor("encoder_hidden_states_proj", self.encoder_hidden_states_proj);
        visitor("text_encoder_hidden_states_norm", self.text_encoder_hidden_states_norm);
    }
};

}  // namespace dalle2
