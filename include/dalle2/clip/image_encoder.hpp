// CLIP's image encoder with its projection: a vision transformer (transformers'
// CLIPVisionModelWithProjection; Dosovitskiy et al. 2020).
#pragma once

#include <dalle2/clip/encoder.hpp>

namespace dalle2 {

struct ClipImageConfig {
    ClipEncoderConfig encoder;
    std::int64_t image_size, patch_size, projection_dim;
    std::int64_t num_channels = 3;
};

template <Engine E>
struct ClipImageEncoder {
    using Tensor = typename E::Tensor;
    using Config = ClipImageConfig;

    Config config;
    typename E::Parameter class_embedding;
    Conv2d<E> patch_embedding;
    Embedding<E> position_embedding;
    LayerNorm<E> pre_layernorm;
    ClipEncoder<E> encoder;
    LayerNorm<E> post_layernorm;
    Linear<E> visual_projection;

    explicit ClipImageEncoder(const Config& c)
        : config(c),
          class_embedding({c.encoder.hidden_size}, ParameterKind::tensor),
          patch_embedding(c.num_channels, c.encoder.hidden_size, c.patch_size,
                          {.stride = c.patch_size}, false),
          position_embedding(patches(c) + 1, c.encoder.hidden_size),
          pre_layernorm(c.encoder.hidden_size, c.encoder.layer_norm_eps),
          encoder(c.encoder),
          post_layernorm(c.encoder.hidden_size, c.encoder.layer_norm_eps),
          visual_projection(c.encoder.hidden_size, c.projection_dim, false) {}

    // pictures [batch, image size, image size, channels], normalised → [batch, projection].
    Tensor operator()(const Tensor& pictures) const {
        const Shape shape = E::shape(pictures);
        if (shape.size() != 4 || shape[1] != config.image_size || shape[2] != config.image_size)
            throw ShapeError("image encoder: pictures " + to_string(shape) + ", expected [batch, " +
                             std::to_string(config.image_size) + ", " +
                             std::to_string(config.image_size) + ", " +
                             std::to_string(config.num_channels) + "]");
        const std::int64_t batch = shape[0], hidden = config.encoder.hidden_size;
        std::vector<std::int32_t> positions(static_cast<std::size_t>(patches(config) + 1));
        for (std::size_t i = 0; i < positions.size(); ++i)
            positions[i] = static_cast<std::int32_t>(i);

        const Tensor tokens =
            E::reshape(patch_embedding(pictures), {batch, patches(config), hidden});
        const Tensor query =
            E::repeat(E::reshape(E::value(class_embedding), {1, 1, hidden}), batch);
        Tensor x = E::concatenate({query, tokens}, 1);  // [batch, 1 + patches, hidden]
        x = pre_layernorm(E::add(x, position_embedding(positions)));
        // The picture's embedding is the state at the class token, the first.
        const std::vector<std::int32_t> first(static_cast<std::size_t>(batch));
        return visual_projection(
            post_layernorm(encoder.one_token(std::move(x), nullptr, first, nullptr)));
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("vision_model.embeddings.class_embedding", self.class_embedding);
        visitor("vision_model.embeddings.patch_embedding", self.patch_embedding);
        visitor("vision_model.embeddings.position_embedding", self.position_embedding);
        visitor("vision_model.pre_layrnorm", self.pre_layernorm);  // the checkpoints' own spelling
        visitor("vision_model.encoder", self.encoder);
        visitor("vision_model.post_layernorm", self.post_layernorm);
        visitor("visual_projection", self.visual_projection);
    }

private:
    static std::int64_t patches(const Config& c) {
        const std::int64_t side = c.image_size / c.patch_size;
        return side * side;
    }
};

}  // namespace dalle2
