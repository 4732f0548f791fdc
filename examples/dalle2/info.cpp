// dalle2 info: what this machine runs, what a model is and costs, what a picture was made from.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <system_error>

#include <dalle2/core/error.hpp>
#include <dalle2/io/picture.hpp>
#include <dalle2/kernels/isa.hpp>
#include <dalle2/kernels/parallel.hpp>
#include <dalle2/pipeline/load.hpp>
#include <dalle2/pipeline/model_cost.hpp>

#include "commands.hpp"
#include "terminal.hpp"

namespace tool {

namespace {

void print_machine() {
    namespace kernels = dalle2::kernels;
    std::cout << "machine\n  kernels    " << kernels::name_of(kernels::current_isa())
              << " (this processor has:";
    for (const kernels::Isa isa : kernels::all_isas)
        if (kernels::available(isa)) std::cout << ' ' << kernels::name_of(isa);
    std::cout << ")\n  threads    " << kernels::thread_count() << "\n";
}

// What a model is, and what one picture of it costs.
void print_model(const std::string& path) {
    const dalle2::ModelDirectory directory(path);
    const dalle2::GenerationDefaults settings = dalle2::load_generation_defaults(path);
    const auto tokenizer = dalle2::ClipTokenizer::from_directory(directory.folder("tokenizer"));
    const auto decoder = dalle2::load_config<dalle2::UNetConfig>(directory, "decoder");
    const auto upsampler = dalle2::load_config<dalle2::UNetConfig>(directory, "super_res_first");
    std::cout << path << "\n  prompt     at most " << tokenizer.max_length()
              << " tokens, of a vocabulary of " << tokenizer.vocabulary_size() << "\n  picture    "
              << decoder.sample_size << "×" << decoder.sample_size << " by the decoder, "
              << upsampler.sample_size << "×" << upsampler.sample_size
              << " by the upsampler\n  settings   prior " << settings.prior_steps
              << " steps, guidance " << settings.prior_guidance_scale << "; decoder "
              << settings.decoder_steps << " steps, guidance " << settings.decoder_guidance_scale
              << "; upsampler " << settings.super_resolution_steps << " steps\n\n";

    const auto row = [](const std::string& name, const std::string& parameters,
                        const std::string& runs, const std::string& each, const std::string& all) {
        std::cout << "  " << std::left << std::setw(18) << name << std::right << std::setw(12)
                  << parameters << std::setw(8) << runs << std::setw(16) << each << std::setw(18)
                  << all << "\n";
    };
    const auto number = [](double value) {
        std::ostringstream text;
        text << std::fixed << std::setprecision(3) << value;
        return text.str();
    };
    row("network", "parameters", "runs", "GFLOP per run", "GFLOP per picture");
    std::int64_t parameters = 0;
    double total = 0;
    for (const auto& cost : dalle2::model_cost(directory, {.settings = settings})) {
        // A multiply-add is two operations.
        const double each = 2e-9 * static_cast<double>(cost.log.multiply_adds());
        const double all = 2e-9 * static_cast<double>(cost.multiply_adds());
        row(cost.component, std::to_string(cost.parameters), std::to_string(cost.runs),
            number(each), number(all));
        parameters += cost.parameters;
        total += all;
    }
    row("together", std::to_string(parameters), "", "", number(total));
}

// Prints the text that `dalle2 generate` left in a picture.
void print_picture(const std::string& path) {
    const dalle2::Picture picture = dalle2::read_picture(path);
    std::cout << path << ": " << picture.width << "×" << picture.height << " pixels\n";
    const dalle2::PngText text = dalle2::read_png_text(path);
    if (text.empty()) std::cout << "  no text: not made by dalle2 generate\n";
    for (const auto& [key, value] : text) {
        std::string name = key;
        name.resize(std::max<std::size_t>(name.size(), 20), ' ');
        // A foreign file may hold anything: nothing of it reaches the terminal as a command.
        std::cout << "  " << name << " " << one_line(value) << "\n";
    }
}

}  // namespace

void add_info(CLI::App& app) {
    CLI::App* info = app.add_subcommand(
        "info", "This machine's kernels; a model's architecture and cost; a picture's prompt");
    const auto path = std::make_shared<std::string>();
    info->add_option("PATH", *path, "A model's folder, or a PNG file that dalle2 made");
    info->footer(
        "Examples:\n"
        "  dalle2 info            this machine, and the model that comes with dalle2\n"
        "  dalle2 info MODEL      the networks of a model, their sizes and their cost\n"
        "  dalle2 info out.png    prompt, seed and settings of a picture");
    info->callback([path] {
        std::error_code error;
        const bool picture = !path->empty() && !std::filesystem::is_directory(*path, error);
        if (picture && std::filesystem::exists(*path, error)) {
            print_picture(*path);
            return;
        }
        if (!path->empty()) {
            print_model(*path);
            return;
        }
        print_machine();
        if (std::filesystem::exists(shipped_model(), error)) {
            std::cout << "\n";
            print_model(shipped_model());
        }
    });
}

}  // namespace tool
