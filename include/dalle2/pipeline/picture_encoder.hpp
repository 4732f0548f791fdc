// Pictures on their way to the image embeddings that a decoder draws from.
#pragma once

#include <utility>
#include <vector>

#include <dalle2/clip/preprocess.hpp>
#include <dalle2/core/finite.hpp>
#include <dalle2/io/picture.hpp>
#include <dalle2/pipeline/clip_towers.hpp>
#include <dalle2/pipeline/on_demand.hpp>

namespace dalle2 {

// CLIP's image encoder, and what prepares pictures for it.
template <Engine E>
struct ClipPictureEncoder {
    ClipPreprocessor preprocessor;
    ClipTowers<E> towers;

    ClipPictureEncoder(ClipPreprocessor preprocessor_part, ClipTowers<E> towers_part)
        : preprocessor(std::move(preprocessor_part)), towers(std::move(towers_part)) {}
};

// → [pictures, embedding].
template <Engine E>
Array encode_pictures(const ClipPictureEncoder<E>& encoder, const std::vector<Picture>& pictures) {
    Array embedding = encoder.towers.embed_pictures(encoder.preprocessor, pictures, {});
    check_finite(embedding, "image encoder");
    return embedding;
}
template <Engine E>
Array encode_pictures(const OnDemand<ClipPictureEncoder<E>>& encoder,
                      const std::vector<Picture>& pictures) {
    return encode_pictures(*encoder.get(), pictures);
}

}  // namespace dalle2
