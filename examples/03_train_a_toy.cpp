// The whole chain trained from nothing in under a minute: pictures of 16 pixels with a red, green
// or blue square or disc, left or right. CLIP learns what text and picture have in common, the
// prior what embedding a text's picture has, the decoder to draw it.
//
//     03_train_a_toy [OUTPUT.png]
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>

#include <dalle2/engine/cpu.hpp>
#include <dalle2/io/contact_sheet.hpp>
#include <dalle2/nn/copy_weights.hpp>
#include <dalle2/pipeline/decoder.hpp>
#include <dalle2/pipeline/diffusion_prior.hpp>
#include <dalle2/text/bpe_trainer.hpp>
#include <dalle2/train/clip_task.hpp>
#include <dalle2/train/decoder_task.hpp>
#include <dalle2/train/prior_task.hpp>
#include <dalle2/train/text_tokens.hpp>
#include <dalle2/train/trainer.hpp>

using namespace dalle2;
using E = Cpu<float>;
constexpr std::int64_t toy_width = 32;  // of every embedding

const std::string shapes[] = {"square", "disc"}, colors[] = {"red", "green", "blue"},
                  places[] = {"left", "right"};

// Sample `index`: its caption, and its picture in -1 to 1, white where nothing is drawn.
std::string toy_sample(std::uint64_t index, std::int64_t size, float* pixels) {
    const CounterGenerator random(1, index);
    const std::uint32_t shape = random.below(0, 2), color = random.below(1, 3),
                        place = random.below(2, 2);
    const double center_x = place == 0 ? 0.3 : 0.7, radius = 0.22;
    if (pixels)
        for (std::int64_t y = 0; y < size; ++y)
            for (std::int64_t x = 0; x < size; ++x) {
                const double dx =
                    std::abs((static_cast<double>(x) + 0.5) / static_cast<double>(size) - center_x);
                const double dy =
                    std::abs((static_cast<double>(y) + 0.5) / static_cast<double>(size) - 0.5);
                const bool inside =
                    shape == 0 ? std::max(dx, dy) < radius : dx * dx + dy * dy < radius * radius;
                for (std::uint32_t c = 0; c < 3; ++c)
                    *pixels++ = !inside || c == color ? 0.9f : -0.9f;
            }
    return "a " + colors[color] + " " + shapes[shape] + " on the " + places[place];
}

// Trains for some steps of 32 samples and says how the loss went.
template <class Task>
void train(const std::string& name, Task& task, std::int64_t steps,
           const std::filesystem::path& folder) {
    Trainer trainer(task, {.folder = folder / name,
                           .batch = 32,
                           .learning_rate = {.peak = 3e-3, .warmup = 20, .steps = steps},
                           .log_every = steps / 5});
    trainer.run([&](const TrainingProgress& p) {
        std::cout << name << ": step " << p.step << " of " << p.steps << ", loss "
                  << p.metrics[0].second << std::endl;
    });
}

// What was trained, on the engine that generates.
template <template <Engine> class Module, Engine From>
std::shared_ptr<Module<E>> finished(const Module<From>& trained) {
    const auto module = std::make_shared<Module<E>>(trained.config);
    copy_weights(trained, *module);
    return module;
}

int main(int argc, char** argv) try {
    const auto folder = std::filesystem::temp_directory_path() / "dalle2-toy";
    std::filesystem::remove_all(folder);

    const ClipTokenizer tokenizer(train_bpe({"a red green blue square disc on the left right"}),
                                  {.max_length = 12});
    const TextTokens tokens = text_tokens(tokenizer);
    const ClipEncoderConfig encoder{.hidden_size = toy_width,
                                    .intermediate_size = 64,
                                    .num_attention_heads = 2,
                                    .num_hidden_layers = 2};

    ClipTask<float> clip(
        {.encoder = encoder,
         .vocab_size = tokenizer.vocabulary_size(),
         .max_position_embeddings = 12,
         .projection_dim = toy_width,
         .eos_token_id = tokenizer.end_id()},
        {.encoder = encoder, .image_size = 16, .patch_size = 4, .projection_dim = toy_width},
        toy_sample, tokens, 1);
    train("clip", clip, 150, folder);
    const auto text_encoder = finished(clip.text_encoder);
    const auto image_encoder = finished(clip.image_encoder);

    const NoiseSchedule schedule(
        {.prediction_type = PredictionType::sample, .clip_sample_range = 5});
    PriorTask<float> prior({.embedding_dim = toy_width,
                            .num_attention_heads = 2,
                            .attention_head_dim = 16,
                            .num_layers = 2,
                            .num_embeddings = 12},
                           schedule, text_encoder, image_encoder, make_array({toy_width}),
                           make_array({toy_width}, 1.0f), toy_sample, tokens, 2);
    train("prior", prior, 300, folder);

    const UNetConfig unet{.in_channels = 3,
                          .out_channels = 6,
                          .sample_size = 16,
                          .levels = {{.channels = 16},
                                     {.channels = 32,
                                      .down_attention = true,
                                      .up_attention = true,
                                      .head_width = 16}},
                          .layers_per_block = 1,
                          .mid_attention = true,
                          .context_width = 32,
                          .norm_num_groups = 8,
                          .conditioning = TimeConditioning::scale_shift};
    const NoiseSchedule picture_schedule(
        {.prediction_type = PredictionType::sample, .variance_type = VarianceType::learned_range});
    DecoderTask<float> decoder({.clip_embeddings_dim = toy_width,
                                .time_embed_dim = time_embedding_width(unet),
                                .cross_attention_dim = 32},
                               unet, picture_schedule, text_encoder, image_encoder, toy_sample,
                               tokens, 3);
    train("decoder", decoder, 600, folder);

    const DiffusionPrior<E> draw_embedding{*finished(prior.prior), UnClipSampler(schedule)};
    const Decoder<E> draw_picture{*finished(decoder.text_projection), *finished(decoder.unet),
                                  UnClipSampler(picture_schedule)};
    std::vector<std::string> prompts;
    for (const std::string& place : places)
        for (const std::string& shape : shapes)
            for (const std::string& color : colors)
                prompts.push_back("a " + color + " " + shape + " on the " + place);
    const EncodedText text = encode_text(*text_encoder, tokens(prompts)),
                      no_text = encode_text(*text_encoder, tokens({""}));
    TorchGenerator generator(7);
    const Array embeddings =
        draw_embedding.sample(text, no_text, generator, {.steps = 25, .guidance_scale = 2});
    const Array pictures = draw_picture.sample(embeddings, text, no_text, generator,
                                               {.steps = 25, .guidance_scale = 2});

    std::vector<Picture> sheet;
    for (std::size_t i = 0; i < prompts.size(); ++i)
        sheet.push_back(picture_from_array(pictures, static_cast<std::int64_t>(i)));
    const std::string output = argc > 1 ? argv[1] : "toy.png";
    write_png(output, contact_sheet(sheet, {.columns = 6, .enlarge = 4}));
    std::cout
        << output
        << ": red, green and blue squares, then discs; on the left above, on the right below\n";
} catch (const Error& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
}
