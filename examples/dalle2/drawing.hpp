// What `dalle2 generate` and `dalle2 vary` have in common: the options of a drawing, loading with
// its progress, one call for each seed, the file at the end.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include <CLI/CLI.hpp>

#include <dalle2/engine/profile.hpp>
#include <dalle2/io/picture.hpp>
#include <dalle2/pipeline/part_loader.hpp>
#include <dalle2/pipeline/stages.hpp>

#include "commands.hpp"
#include "terminal.hpp"

namespace tool {

struct DrawingSettings {
    std::string output = "out.png";
    std::string stages;   // a file for every intermediate value; empty: none
    std::string profile;  // a file for what took how long; empty: none
    std::string model = shipped_model();
    std::string variant;
    std::string engine = dalle2::to_string(dalle2::fastest_engine());
    std::string noise = "float32";
    std::string memory = "auto";
    std::string sampler = "unclip";
    std::optional<std::string> super_res_sampler;
    std::optional<std::string> prior_sampler;  // of `dalle2 generate` alone
    std::optional<double> eta;
    std::uint64_t seed = 0;
    std::int64_t count = 1;
    int threads = 0;
    std::optional<std::int64_t> steps, super_res_steps;
    std::optional<double> guidance;
};

void add_drawing_options(CLI::App& command, DrawingSettings& settings);

// The pictures of a call, one for each seed, drawn and written.
class Drawing {
public:
    // Throws before any work when a file could not be written, and ConfigError for options that do
    // not go together.
    explicit Drawing(const DrawingSettings& settings);

    // For dalle2::load: tells each network that is being read.
    dalle2::LoadOptions load_options();

    // Calls make(options) once for each seed and writes the picture, or a sheet of them, with
    // `text` and the settings in it. `options` holds what the command has beyond DrawingSettings.
    void run(const dalle2::GenerateOptions& options, const dalle2::GenerationDefaults& defaults,
             const std::stop_token& stop, const dalle2::PngText& text,
             const std::function<dalle2::Generation(const dalle2::GenerateOptions&)>& make);

private:
    dalle2::PngText describe(const dalle2::GenerationDefaults& defaults) const;
    void report_profile() const;

    const DrawingSettings& settings_;
    ProgressBar bar_;
    dalle2::Profile profile_;
};

}  // namespace tool
