// The subcommands: each adds its options to the command line, and what to do when it is chosen.
#pragma once

#include <cstdint>
#include <limits>
#include <stop_token>
#include <string>

#include <CLI/CLI.hpp>

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

// Throws dalle2::IoError unless a file at `path` could be written, and leaves nothing there: hours
// of work must not end at a folder that does not exist.
void check_writable(const std::string& path);

// Validators: a number that is neither NaN nor infinite; one from low to high; a whole one.
CLI::Validator finite();
CLI::Validator between(double low, double high);
CLI::Validator whole(std::uint64_t low,
                     std::uint64_t high = std::numeric_limits<std::uint64_t>::max());

}  // namespace tool
