// dalle2 generate: pictures of a prompt.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <dalle2/io/utf8.hpp>
#include <dalle2/pipeline/load.hpp>
#include <dalle2/text/word_check.hpp>

#include "drawing.hpp"

namespace tool {

namespace {

struct GenerateSettings {
    DrawingSettings drawing;
    std::string prompt;
    std::optional<std::int64_t> prior_steps;
    std::optional<double> prior_guidance;
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
    warn_of_truncation(tokenizer(prompt), tokenizer);
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

void generate(const GenerateSettings& settings, const std::stop_token& stop) {
    check_prompt(settings.prompt);
    Drawing drawing(settings.drawing);
    const dalle2::Pipeline pipeline =
        dalle2::load<dalle2::AllEngines>(settings.drawing.model, drawing.load_options());
    warn_about(settings.prompt, pipeline.tokenizer());
    const dalle2::GenerationDefaults& defaults = pipeline.defaults();
    const dalle2::PngText text = {
        {"prompt", settings.prompt},
        {"prior_steps", std::to_string(settings.prior_steps.value_or(defaults.prior_steps))},
        {"prior_guidance",
         number_text(settings.prior_guidance.value_or(defaults.prior_guidance_scale))}};
    drawing.run(
        {.prior_steps = settings.prior_steps, .prior_guidance_scale = settings.prior_guidance},
        defaults, stop, text, [&](const dalle2::GenerateOptions& options) {
            return pipeline.generate({settings.prompt}, options);
        });
}

}  // namespace

void add_generate(CLI::App& app, const std::stop_token& stop) {
    CLI::App* command = app.add_subcommand("generate", "Draw a picture of a prompt");
    const auto settings = std::make_shared<GenerateSettings>();
    command->add_option("PROMPT", settings->prompt, "What to draw, in quotes")->required();
    add_drawing_options(*command, settings->drawing);
    command
        ->add_option("--prior-steps", settings->prior_steps,
                     "Steps from the text to the picture's embedding")
        ->check(whole(1, 1000));
    command
        ->add_option("--prior-guidance", settings->prior_guidance,
                     "How far to follow the text into the embedding; 1: not at all beyond it")
        ->check(finite());
    command
        ->add_option("--prior-sampler", settings->drawing.prior_sampler,
                     "Of the prior, if not that of --sampler")
        ->check(one_of(dalle2::sampler_names));
    command->footer(
        "Steps and guidance that are not given are the model's own.\n"
        "Examples:\n"
        "  dalle2 generate \"a purple wolf on a gray background\"\n"
        "  dalle2 generate \"an owl above a snowman\" -o owls.png --count 9 --seed 100\n"
        "  dalle2 info owls.png        what the picture was made with");
    command->callback([settings, stop] { generate(*settings, stop); });
}

}  // namespace tool
