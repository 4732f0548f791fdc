// The subcommands: each adds its options to the command line, and what to do when it is chosen.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <stop_token>
#include <string>

#include <CLI/CLI.hpp>

namespace dalle2 {
class ClipTokenizer;
struct Tokens;
}  // namespace dalle2

namespace tool {

void add_generate(CLI::App& app, const std::stop_token& stop);
void add_convert(CLI::App& app, const std::stop_token& stop);
void add_vary(CLI::App& app, const std::stop_token& stop);
void add_train(CLI::App& app, const std::stop_token& stop);
void add_classify(CLI::App& app, const std::stop_token& stop);
void add_embed(CLI::App& app, const std::stop_token& stop);
void add_search(CLI::App& app, const std::stop_token& stop);
void add_info(CLI::App& app);
void add_data(CLI::App& app, const std::stop_token& stop);
void add_tokenize(CLI::App& app);

// The model that comes with the project: beside the installed tool, or in the source tree.
std::string shipped_model();

std::string number_text(double value);

// Throws dalle2::IoError unless a file at `path` could be written, and leaves nothing there: hours
// of work must not end at a folder that does not exist.
void check_writable(const std::string& path);

// Options of every command that computes.
void add_engine_option(CLI::App& command, std::string& engine);
void add_threads_option(CLI::App& command, int& threads);
// Of every command that reads a model.
CLI::Option* add_variant_option(CLI::App& command, std::string& variant);

// Warns of the words that a model is too short for, where there are any. `place` begins the
// warning, such as "line 3: ".
void warn_of_truncation(const dalle2::Tokens& tokens, const dalle2::ClipTokenizer& tokenizer,
                        const std::string& place = "");

// Validators: one of some names; a number that is neither NaN nor infinite; one from low to high; a
// whole one.
CLI::Validator one_of(std::span<const char* const> names);
CLI::Validator finite();
CLI::Validator between(double low, double high);
CLI::Validator whole(std::uint64_t low,
                     std::uint64_t high = std::numeric_limits<std::uint64_t>::max());

}  // namespace tool
