// Both encoders of CLIP as one model (transformers' CLIPModel; Radford et al. 2021, figure 3).
#pragma once

#include <dalle2/clip/image_encoder.hpp>
#include <dalle2/clip/text_encoder.hpp>

namespace dalle2 {

struct ClipConfig {
    ClipTextConfig text;
    ClipImageConfig image;  // its projection is as wide as the text's
};

template <Engine E>
struct ClipModel {
    using Config = ClipConfig;

    Config config;
    ClipTextEncoder<E> text_encoder;
    ClipImageEncoder<E> image_encoder;
    typename E::Parameter logit_scale;  // [], the logarithm of the inverse temperature

    explicit ClipModel(const Config& c)
        : config(c),
          text_encoder(c.text),
          image_encoder(c.image),
          logit_scale(Shape{}, ParameterKind::vector) {}

    // The encoders' own names are the checkpoint's.
    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("logit_scale", self.logit_scale);
        ClipTextEncoder<E>::visit(self.text_encoder, visitor);
        ClipImageEncoder<E>::visit(self.image_encoder, visitor);
    }
};

}  // namespace dalle2
