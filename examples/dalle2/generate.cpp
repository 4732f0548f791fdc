// dalle2 generate: pictures of a prompt.
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <dalle2/io/contact_sheet.hpp>
#include <dalle2/io/picture.hpp>
#include <dalle2/io/utf8.hpp>
#include <dalle2/pipeline/load.hpp>
#include <dalle2/text/word_check.hpp>

#include "commands.hpp"
#include "terminal.hpp"

namespace tool {

namespace {

struct GenerateSettings {
    std::string prompt;
    std::string output = "out.png";
    std::string model = shipped_model();
    std::string engine = dalle2::to_string(dalle2::fastest_engine());
    std::string sampler = "unclip";
    double eta = 0;
    std::uint64_t seed = 0;
    std::int64_t count = 1;
    int threads = 0;
    std::optional<std::int64_t> prior_steps, steps, super_res_steps;
    std::optional<double> prior_guidance, guidance;
};

// Throws ConfigError for what no picture can be made of. The empty prompt is allowed.
void check_prompt(const std::string& prompt) {
    constexpr std::size_t longest = 2000;  // some three times as much as any model here reads
    const std::u32string codes = dalle2::decode_utf8(prompt);
    if (dalle2::encode_utf8(codes) != prompt)
        throw dalle2::ConfigError("the prompt is not UTF-8; expected text in that encoding");
    for (const char32_t code : codes)
        if (code < 0x20 || (code >= 0x7F && code < 0xA0))
            throw dalle2::ConfigError("the prompt contains the control character " +
                                      std::to_string(static_cast<unsigned>(code)) +
                                      "; expected one line of plain text");
    if (codes.size() > longest)
        throw dalle2::ConfigError("the prompt has " + std::to_string(codes.size()) +
                                  " characters; expected at most " + std::to_string(longest));
}

// What a person should know before waiting for the picture.
void warn_about(const std::string& prompt, const dalle2::ClipTokenizer& tokenizer) {
    const dalle2::Tokens tokens = tokenizer(prompt);
    if (tokens.truncated)
        warn("the model reads " + std::to_string(tokenizer.max_length()) +
             " tokens at most; it does not see \"" + tokens.dropped + "\"");
    // A vocabulary as large as CLIP's has seen every word, if in parts; a small one has as tokens
    // the words that its model learned from, and no others.
    constexpr std::int32_t large = 20000;
    if (tokenizer.vocabulary_size() > large) return;
    constexpr std::string_view word_end = "</w>";
    std::vector<std::string> known;
    for (std::int32_t id = 0; id < tokenizer.vocabulary_size(); ++id) {
        const std::string& token = tokenizer.token(id);
        if (token.size() > word_end.size() && token.ends_with(word_end))
            known.push_back(token.substr(0, token.size() - word_end.size()));
    }
    for (const dalle2::UnknownWord& unknown : dalle2::unknown_words(prompt, known)) {
        std::string text = "the model never saw the word \"" + unknown.word + "\"";
        for (std::size_t i = 0; i < unknown.nearest.size(); ++i)
            text += (i == 0 ? "; near it are \"" : "\", \"") + unknown.nearest[i];
        warn(text + (unknown.nearest.empty() ? "" : "\""));
    }
}

std::string number_text(double value) {
    std::ostringstream text;
    text << value;
    return text.str();
}

// Everything that decides which picture it is; `dalle2 info` reads it back.
dalle2::PngText describe(const GenerateSettings& settings,
                         const dalle2::GenerationDefaults& defaults) {
    const std::string last_seed =
        std::to_string(settings.seed + static_cast<std::uint64_t>(settings.count) - 1);
    dalle2::PngText text = {
        {"Software", std::string("dalle2 ") + DALLE2_VERSION},
        {"prompt", settings.prompt},
        {"seed", std::to_string(settings.seed) + (settings.count > 1 ? " to " + last_seed : "")},
        {"model", std::filesystem::path(settings.model).lexically_normal().filename().string()},
        {"engine", settings.engine},
        {"sampler", settings.sampler},
        {"prior_steps", std::to_string(settings.prior_steps.value_or(defaults.prior_steps))},
        {"steps", std::to_string(settings.steps.value_or(defaults.decoder_steps))},
        {"super_res_steps",
         std::to_string(settings.super_res_steps.value_or(defaults.super_resolution_steps))},
        {"prior_guidance",
         number_text(settings.prior_guidance.value_or(defaults.prior_guidance_scale))},
        {"guidance", number_text(settings.guidance.value_or(defaults.decoder_guidance_scale))}};
    if (settings.sampler == "ddim") text.emplace_back("eta", number_text(settings.eta));
    return text;
}

void generate(const GenerateSettings& settings, const std::stop_token& stop) {
    check_prompt(settings.prompt);
    check_writable(settings.output);
    const dalle2::SamplerKind sampler =
        dalle2::sampler_kind_from_name(settings.sampler, "--sampler");
    const dalle2::Pipeline pipeline = dalle2::load(
        settings.model, {.engine = dalle2::engine_kind_from_name(settings.engine, "--engine"),
                         .prior_sampler = sampler,
                         .decoder_sampler = sampler,
                         .super_resolution_sampler = sampler,
                         .ddim = {.eta = settings.eta},
                         .warn = warn});
    warn_about(settings.prompt, pipeline.tokenizer());

    const auto began = std::chrono::steady_clock::now();
    std::vector<dalle2::Picture> pictures;
    ProgressBar bar;
    for (std::int64_t i = 0; i < settings.count; ++i) {
        const std::string which =
            settings.count > 1 ? " " + std::to_string(i + 1) + "/" + std::to_string(settings.count)
                               : "";
        // One call for each seed: a picture of a grid is the one that its own seed makes alone.
        pictures.push_back(
            pipeline(settings.prompt, {.seed = settings.seed + static_cast<std::uint64_t>(i),
                                       .prior_steps = settings.prior_steps,
                                       .decoder_steps = settings.steps,
                                       .super_resolution_steps = settings.super_res_steps,
                                       .prior_guidance_scale = settings.prior_guidance,
                                       .decoder_guidance_scale = settings.guidance,
                                       .threads = settings.threads,
                                       .progress =
                                           [&](const dalle2::GenerateProgress& p) {
                                               bar.update(dalle2::to_string(p.stage) + which,
                                                          p.step, p.steps);
                                           },
                                       .stop = stop}));
    }
    bar.finish();
    const dalle2::Picture picture =
        pictures.size() == 1 ? pictures[0]
                             : dalle2::contact_sheet(pictures, {.color = {255, 255, 255}});
    dalle2::write_png(settings.output, picture, describe(settings, pipeline.defaults()));
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
    std::cout << settings.output << ": " << picture.width << "×" << picture.height << " pixels, "
              << duration_text(seconds.count()) << std::endl;
}

}  // namespace

void add_generate(CLI::App& app, const std::stop_token& stop) {
    CLI::App* command = app.add_subcommand("generate", "Draw a picture of a prompt");
    const auto settings = std::make_shared<GenerateSettings>();
    command->add_option("PROMPT", settings->prompt, "What to draw, in quotes")->required();
    command->add_option("-o,--output", settings->output, "The PNG file")->capture_default_str();
    command
        ->add_option("--seed", settings->seed,
                     "Another number, another picture; the same settings and seed, the same bytes")
        ->check(whole(0, 0xFFFFFFFF))
        ->capture_default_str();
    command
        ->add_option("--count", settings->count,
                     "Pictures, from this seed on, in one file as a grid")
        ->check(whole(1, 400))
        ->capture_default_str();
    command
        ->add_option("--prior-steps", settings->prior_steps,
                     "Steps from the text to the picture's embedding")
        ->check(whole(1, 1000));
    command->add_option("--steps", settings->steps, "Steps of the decoder; fewer are faster")
        ->check(whole(1, 1000));
    command->add_option("--super-res-steps", settings->super_res_steps, "Steps of the upsampler")
        ->check(whole(1, 1000));
    command
        ->add_option("--prior-guidance", settings->prior_guidance,
                     "How far to follow the text into the embedding; 1: not at all beyond it")
        ->check(finite());
    command
        ->add_option("--guidance", settings->guidance,
                     "The same for the decoder: higher is closer to the prompt, less varied")
        ->check(finite());
    command->add_option("--sampler", settings->sampler, "unclip (random steps) or ddim")
        ->check(CLI::IsMember({"unclip", "ddim"}).description(""))
        ->capture_default_str();
    command
        ->add_option("--eta", settings->eta,
                     "Randomness of ddim's steps: 0 none, 1 as much as in training")
        ->check(between(0, 1))
        ->capture_default_str();
    command->add_option("--engine", settings->engine, "reference (slow), float32 or bfloat16")
        ->check(CLI::IsMember({"reference", "float32", "bfloat16"}).description(""))
        ->capture_default_str();
    command->add_option("--threads", settings->threads, "0: one for each core")
        ->check(whole(0, 1024))
        ->capture_default_str();
    command
        ->add_option("--model", settings->model,
                     "A model's folder, in the layout of diffusers' UnCLIPPipeline")
        ->capture_default_str();
    command->footer(
        "Steps and guidance that are not given are the model's own.\n"
        "Examples:\n"
        "  dalle2 generate \"a purple wolf on a gray background\"\n"
        "  dalle2 generate \"an owl above a snowman\" -o owls.png --count 9 --seed 100\n"
        "  dalle2 info owls.png        what the picture was made with");
    command->callback([settings, stop] { generate(*settings, stop); });
}

}  // namespace tool
