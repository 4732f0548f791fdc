// dalle2 tokenize: the numbers that a model reads in place of a text.
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <istream>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/file.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/text/clip_tokenizer.hpp>

#include "commands.hpp"
#include "terminal.hpp"

namespace tool {

namespace {

struct TokenizeSettings {
    std::string text;
    std::string file;
    std::string model = shipped_model();
    std::string behaviour;
    bool special = false, json = false, pieces = false, json_lines = false;
};

// Prints one line for a text. `place` begins a warning, such as "line 3: ".
void print_tokens(const std::string& text, const dalle2::ClipTokenizer& tokenizer,
                  const TokenizeSettings& settings, const std::string& place) {
    const dalle2::Tokens framed = tokenizer(text);
    const std::vector<std::int32_t> ids = settings.special ? framed.ids : tokenizer.encode(text);
    warn_of_truncation(framed, tokenizer, place);
    std::vector<std::string> pieces;
    if (settings.json || settings.pieces)
        for (const std::int32_t id : ids) pieces.push_back(tokenizer.token(id));

    if (settings.json) {
        dalle2::OrderedJson line;
        line["ids"] = ids;
        line["pieces"] = pieces;
        line["dropped"] = framed.dropped;
        std::cout << line.dump() << "\n";
        return;
    }
    std::string line;
    for (const std::int32_t id : ids) line += (line.empty() ? "" : " ") + std::to_string(id);
    if (!pieces.empty()) line += "  ";
    for (const std::string& piece : pieces) line += " " + one_line(piece);
    std::cout << line << "\n";
}

// The text in a line of JSON. Throws FormatError when it is not one text.
std::string text_of_json(const std::string& line, const std::string& where) {
    const dalle2::Json json = dalle2::parse_json(line, where);
    if (!json.is_string())
        throw dalle2::FormatError(where + " is " + json.dump().substr(0, 60) +
                                  "; expected a text in double quotes");
    return json.get<std::string>();
}

void print_lines(std::istream& input, const std::string& name,
                 const dalle2::ClipTokenizer& tokenizer, const TokenizeSettings& settings) {
    std::size_t number = 0;
    for (std::string line; std::getline(input, line);) {
        const std::string place = "line " + std::to_string(++number);
        if (settings.json_lines) line = text_of_json(line, name + ", " + place);
        print_tokens(line, tokenizer, settings, place + ": ");
    }
    if (input.bad()) throw dalle2::IoError("cannot read " + name);
}

void tokenize(TokenizeSettings settings) {
    if (!settings.json && isatty(STDOUT_FILENO)) settings.pieces = true;
    std::optional<dalle2::TokenizerBehaviour> behaviour;
    if (!settings.behaviour.empty())
        behaviour = settings.behaviour == "slow" ? dalle2::TokenizerBehaviour::slow
                                                 : dalle2::TokenizerBehaviour::fast;
    const auto tokenizer = dalle2::ClipTokenizer::from_path(settings.model, behaviour);
    if (settings.file.empty()) {
        print_tokens(settings.json_lines ? text_of_json(settings.text, "the text") : settings.text,
                     tokenizer, settings, "");
    } else if (settings.file == "-") {
        print_lines(std::cin, "standard input", tokenizer, settings);
    } else {
        std::error_code error;
        if (std::filesystem::is_directory(settings.file, error))
            throw dalle2::IoError("cannot read " + settings.file +
                                  ": it is a directory, expected a file");
        std::ifstream input(settings.file, std::ios::binary);
        if (!input)
            throw dalle2::IoError("cannot open " + settings.file + ": " +
                                  dalle2::detail::system_message(errno));
        print_lines(input, settings.file, tokenizer, settings);
    }
}

}  // namespace

void add_tokenize(CLI::App& app) {
    CLI::App* command =
        app.add_subcommand("tokenize", "The numbers that a model reads in place of a text");
    const auto settings = std::make_shared<TokenizeSettings>();
    CLI::Option* text = command->add_option("TEXT", settings->text, "A text, in quotes");
    CLI::Option* file = command
                            ->add_option("--file", settings->file,
                                         "A file of texts, one on each line; - is standard input")
                            ->excludes(text);
    command
        ->add_option("--model", settings->model,
                     "A model's or a tokenizer's folder, a tokenizer.json, or OpenAI's "
                     "bpe_simple_vocab_16e6.txt.gz")
        ->capture_default_str();
    command->add_flag("--special", settings->special,
                      "All that the model reads: start and end, cut and padded to its length");
    command->add_flag("--pieces", settings->pieces,
                      "The tokens as the vocabulary writes them behind the numbers, as on a "
                      "terminal; </w> ends a word");
    command->add_flag("--json", settings->json,
                      "An object for each text: ids, pieces, and the words beyond the length");
    command->add_flag("--json-lines", settings->json_lines,
                      "The texts are JSON, in double quotes: so they may contain new lines");
    command
        ->add_option("--behaviour", settings->behaviour,
                     "fast or slow: as CLIPTokenizerFast or CLIPTokenizer (without ftfy) of "
                     "transformers; else as the model's files say")
        ->check(CLI::IsMember({"fast", "slow"}).description(""));
    command->footer(
        "A line of numbers for each text. What the model is too short for is said as a warning.\n"
        "Examples:\n"
        "  dalle2 tokenize \"a red apple\"\n"
        "  dalle2 tokenize \"a red apple\" --special --model MODEL\n"
        "  dalle2 tokenize --file prompts.txt --json");
    command->callback([settings, text, file] {
        if (text->count() == 0 && file->count() == 0) throw CLI::RequiredError("TEXT or --file");
        tokenize(*settings);
    });
}

}  // namespace tool
