// The tiny model as a pipeline of any engine and sampler.
#pragma once

#include <dalle2/pipeline/text_to_image.hpp>

#include "tiny_model.hpp"

namespace tiny_model {

template <class E, class S = UnClipSampler>
using Pipeline = TextToImage<ClipTokenizer, ClipTextEncoder<E>, DiffusionPrior<E, S>, Decoder<E, S>,
                             Upsampler<E, S>>;

template <class E, class S = UnClipSampler>
Pipeline<E, S> pipeline() {
    return {tokenizer(),
            text_encoder<E>(),
            {prior<E>(), S(NoiseSchedule(prior_schedule()))},
            {text_projection<E>(), decoder<E>(), S(NoiseSchedule(decoder_schedule()))},
            {upsampler_first<E>(), upsampler_last<E>(), S(NoiseSchedule(upsampler_schedule()))},
            {.prior_steps = 3, .decoder_steps = 4, .super_resolution_steps = 2}};
}

}  // namespace tiny_model
