// What a stage draws by now, to look at while it trains: true pictures above, and below each the
// one that the averaged weights of the last checkpoint make of the same condition.
#pragma once

#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include <dalle2/engine/cpu.hpp>
#include <dalle2/io/contact_sheet.hpp>
#include <dalle2/pipeline/decoder.hpp>
#include <dalle2/pipeline/encoded_text.hpp>
#include <dalle2/pipeline/upsampler.hpp>
#include <dalle2/train/export.hpp>
#include <dalle2/train/samples.hpp>

namespace dalle2 {

inline constexpr std::int64_t preview_count = 16;

namespace detail {

// Rows of eight: some true pictures, then those drawn, and so on.
inline Picture preview_sheet(const Array& truth, const Array& drawn, int enlarge) {
    constexpr std::int64_t columns = 8;
    std::vector<Picture> pictures;
    for (std::int64_t row = 0; row < preview_count / columns; ++row)
        for (const Array* source : {&truth, &drawn})
            for (std::int64_t i = 0; i < columns; ++i)
                pictures.push_back(picture_from_array(*source, row * columns + i));
    return contact_sheet(pictures, {.columns = columns, .enlarge = enlarge});
}

}  // namespace detail

// The decoder on the embeddings of true pictures and their captions, without guidance. Throws
// IoError and FormatError as load_averages does.
template <class T>
Picture decoder_preview(const std::filesystem::path& run,
                        const TextProjectionConfig& projection_config, const UNetConfig& config,
                        const NoiseScheduleConfig& schedule,
                        const ClipTextEncoder<Cpu<T>>& text_encoder,
                        const ClipImageEncoder<Cpu<T>>& image_encoder, const SampleSource& source,
                        const TextTokens& tokens) {
    using E = Cpu<T>;
    const BufferPool pool;  // at its end the memory goes back to the system
    const BufferPool::Scope scope(pool);
    UNet<E> unet(config);
    load_averages<E>(unet, stage_checkpoint(run, "decoder"), "decoder");
    const Decoder<E> decoder(trained_text_projection<E>(run, projection_config), std::move(unet),
                             UnClipSampler(NoiseSchedule(schedule)));
    const SampleBatch batch = read_batch(source, 0, preview_count, config.sample_size);
    const SampleBatch seen = read_batch(source, 0, preview_count, image_encoder.config.image_size);
    const Array embeddings = E::to_array(image_encoder(E::from_array(seen.pictures)));
    TorchGenerator generator(0);
    const Array drawn =
        decoder.sample(embeddings, encode_text(text_encoder, tokens(batch.captions)),
                       encode_text(text_encoder, tokens({""})), generator, {.steps = 25});
    return detail::preview_sheet(batch.pictures, drawn, 2);
}

// The upsampler on true pictures made small.
template <class T>
Picture upsampler_preview(const std::filesystem::path& run, const UNetConfig& config,
                          const NoiseScheduleConfig& schedule, std::int64_t low_size,
                          const SampleSource& source) {
    using E = Cpu<T>;
    const BufferPool pool;  // at its end the memory goes back to the system
    const BufferPool::Scope scope(pool);
    UNet<E> unet(config);
    load_averages<E>(unet, stage_checkpoint(run, "upsampler"), "super_res");
    const Upsampler<E> upsampler(std::move(unet), std::nullopt,
                                 UnClipSampler(NoiseSchedule(schedule)));
    const SampleBatch large = read_batch(source, 0, preview_count, config.sample_size);
    const SampleBatch small = read_batch(source, 0, preview_count, low_size);
    TorchGenerator generator(0);
    return detail::preview_sheet(large.pictures, upsampler.sample(small.pictures, generator), 1);
}

}  // namespace dalle2
