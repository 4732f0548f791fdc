// The parts of the chain by hand, in the order of the paper (Ramesh et al. 2022, figure 2), with
// every value on the way. What comes out is what `dalle2 generate --seed 7 --engine float32` draws.
//
//     02_by_hand ["PROMPT"] [MODEL] [FOLDER FOR THE PICTURES]
#include <cmath>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <string>

#include <dalle2/engine/cpu.hpp>
#include <dalle2/io/picture.hpp>
#include <dalle2/pipeline/component.hpp>
#include <dalle2/pipeline/decoder.hpp>
#include <dalle2/pipeline/diffusion_prior.hpp>
#include <dalle2/pipeline/model_configs.hpp>
#include <dalle2/pipeline/upsampler.hpp>

using namespace dalle2;
// The engine. Others are Cpu<bfloat16>, Cpu<std::int8_t> (engine/cpu_int8.hpp) and Reference
// (engine/reference.hpp).
using E = Cpu<float>;

double product(const Array& a, const Array& b) { return xt::sum(a * b)(); }
double length(const Array& a) { return std::sqrt(product(a, a)); }

UnClipSampler sampler(const ModelDirectory& model, const std::string& component) {
    // Rounded as diffusers rounds it, which is what the pipeline does.
    return UnClipSampler(
        NoiseSchedule(load_schedule_config(model, component), SchedulePrecision::as_reference));
}

int main(int argc, char** argv) try {
    const std::string prompt = argc > 1 ? argv[1] : "an owl above a snowman";
    const ModelDirectory model(argc > 2 ? argv[2] : "examples/models/emoji-scenes");
    const std::filesystem::path folder = argc > 3 ? argv[3] : ".";
    // How the model wants to be run: steps, and guidance, which is 1, none, for the shipped one.
    const GenerationDefaults defaults = load_generation_defaults(model.path());
    std::cout << std::fixed << std::setprecision(3);

    // The prompt becomes tokens; "no text" is the empty prompt, which guidance compares with.
    const auto tokenizer = ClipTokenizer::from_directory(model.folder("tokenizer"));
    const TokenBatch tokens = token_batch(tokenizer, {prompt}),
                     no_tokens = token_batch(tokenizer, {""});
    std::cout << "\"" << prompt << "\" is " << tokens.tokens << " tokens:";
    for (const std::int32_t id : tokens.ids) std::cout << " " << id << "=" << tokenizer.token(id);

    // CLIP's text encoder: one embedding of the whole text, and a state for each token.
    const auto text_encoder = load_component<ClipTextEncoder, E>(model, "text_encoder");
    const EncodedText text = encode_text(text_encoder, tokens),
                      no_text = encode_text(text_encoder, no_tokens);
    std::cout << "\ntext embedding " << to_string(shape_of(text.text_embedding)) << ", length "
              << length(text.text_embedding) << "; states "
              << to_string(shape_of(text.hidden_states)) << "\n";

    // Prior: from the text to the CLIP embedding of a picture that it describes (section 2.2).
    TorchGenerator generator(7);
    const DiffusionPrior<E> prior{load_component<PriorTransformer, E>(model, "prior"),
                                  sampler(model, "prior_scheduler")};
    const auto tell = [](std::int64_t step, std::int64_t steps, const Array& sample) {
        if (step % 5 == 0 || step == steps)
            std::cout << "  step " << step << ": length " << length(sample) << "\n";
    };
    std::cout << "prior, from noise to an image embedding:\n";
    const Array image_embedding = prior.sample(text, no_text, generator,
                                               {.steps = defaults.prior_steps,
                                                .guidance_scale = defaults.prior_guidance_scale,
                                                .on_step = tell});
    const double cosine = product(image_embedding, text.text_embedding) / length(image_embedding) /
                          length(text.text_embedding);
    std::cout << "image embedding " << to_string(shape_of(image_embedding)) << ", length "
              << length(image_embedding) << ", cosine with the text embedding " << cosine << "\n";

    // Decoder: from the embedding to a small picture (section 2.1).
    const Decoder<E> decoder{load_component<TextProjection, E>(model, "text_proj"),
                             load_component<UNet, E>(model, "decoder"),
                             sampler(model, "decoder_scheduler")};
    std::cout << "decoder, from noise to a small picture:\n";
    const Array small = decoder.sample(image_embedding, text, no_text, generator,
                                       {.steps = defaults.decoder_steps,
                                        .guidance_scale = defaults.decoder_guidance_scale,
                                        .on_step = tell});
    write_png(folder / "by_hand_small.png", picture_from_array(small));
    std::cout << "small picture " << to_string(shape_of(small)) << ": by_hand_small.png\n";

    // Upsampler: draws it again, larger.
    const Upsampler<E> upsampler{load_component<UNet, E>(model, "super_res_first"),
                                 load_component<UNet, E>(model, "super_res_last"),
                                 sampler(model, "super_res_scheduler")};
    std::cout << "upsampler, from noise and the enlarged picture:\n";
    const Array large = upsampler.sample(
        small, generator, {.steps = defaults.super_resolution_steps, .on_step = tell});
    write_png(folder / "by_hand.png", picture_from_array(large));
    std::cout << "picture " << to_string(shape_of(large)) << ": by_hand.png\n";
} catch (const Error& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
}
