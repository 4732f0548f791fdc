// dalle2 info: what this machine runs, what a model is and costs, what a picture was made from.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <system_error>

#include <dalle2/clip/config.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/io/hub_cache.hpp>
#include <dalle2/io/picture.hpp>
#include <dalle2/kernels/isa.hpp>
#include <dalle2/kernels/parallel.hpp>
#include <dalle2/nn/visit.hpp>
#include <dalle2/pipeline/model_configs.hpp>
#include <dalle2/pipeline/model_cost.hpp>

#include "commands.hpp"
#include "memory.hpp"
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

void print_row(const std::string& name, const std::string& parameters, const std::string& file,
               const std::string& runs, const std::string& each, const std::string& all) {
    std::cout << "  " << std::left << std::setw(17) << name << std::right << std::setw(11)
              << parameters << "  " << std::left << std::setw(19) << file << std::right
              << std::setw(5) << runs << std::setw(15) << each << std::setw(19) << all << "\n";
}

std::string number_of(double value) {
    std::ostringstream text;
    text << std::fixed << std::setprecision(3) << value;
    return text.str();
}

// "BF16, 2 files": the type that most values have, and how many files hold them.
std::string files_text(const std::filesystem::path& path) {
    const dalle2::WeightFiles files(path);
    std::map<dalle2::DType, std::int64_t> counts;
    std::set<std::filesystem::path> paths;
    for (const std::string& name : files.names()) {
        counts[files.dtype(name)] += dalle2::element_count(files.shape(name));
        paths.insert(files.path_of(name));
    }
    std::int64_t most = -1;
    std::string text = "empty";
    for (const auto& [dtype, count] : counts)
        if (count > most) {
            most = count;
            text = dalle2::to_string(dtype);
        }
    const bool packed = std::any_of(files.names().begin(), files.names().end(),
                                    [&](const std::string& name) { return files.is_packed(name); });
    const std::string extension = paths.empty() ? "" : paths.begin()->extension().string();
    return text + (paths.size() > 1 ? ", " + std::to_string(paths.size()) + " files" : "") +
           (packed ? ", packed" : "") + (extension == ".safetensors" ? "" : ", " + extension);
}

void print_tokenizer(const dalle2::ClipTokenizer& tokenizer) {
    std::cout << "  text       at most " << tokenizer.max_length() << " tokens, of a vocabulary of "
              << tokenizer.vocabulary_size() << "\n";
}

// A multiply-add is two operations.
double gigaflops(std::int64_t multiply_adds) { return 2e-9 * static_cast<double>(multiply_adds); }

// What one picture takes in memory.
void print_memory(const dalle2::ModelDirectory& directory,
                  const dalle2::GenerationDefaults& settings) {
    std::cout << "\n  " << std::left << std::setw(17) << "memory, with" << std::right
              << std::setw(14) << "--memory least" << std::setw(18) << "--memory all"
              << "\n";
    for (const dalle2::EngineKind engine :
         {dalle2::EngineKind::cpu_float, dalle2::EngineKind::cpu_bfloat16,
          dalle2::EngineKind::cpu_int8}) {
        const dalle2::MemoryPlan plan =
            plan_memory(directory, {.engine = engine, .settings = settings});
        const auto megabytes = [&](dalle2::Residency residency) {
            return std::to_string((plan.peak_bytes(residency) + 500'000) / 1'000'000) + " MB";
        };
        std::cout << "  " << std::left << std::setw(17) << dalle2::to_string(engine) << std::right
                  << std::setw(14) << megabytes(dalle2::Residency::in_turn) << std::setw(18)
                  << megabytes(dalle2::Residency::whole) << "\n";
    }
}

// What a model of pictures is, and what one picture of it costs.
void print_pipeline(const dalle2::ModelDirectory& directory) {
    const dalle2::GenerationDefaults settings = dalle2::load_generation_defaults(directory.path());
    const auto decoder = dalle2::load_config<dalle2::UNetConfig>(directory, "decoder");
    const auto upsampler = dalle2::load_config<dalle2::UNetConfig>(directory, "super_res_first");
    std::cout << directory.path().string() << "\n  draws      "
              << (directory.has("prior") ? "pictures of texts" : "")
              << (directory.has("prior") && directory.has("image_encoder") ? ", " : "")
              << (directory.has("image_encoder") ? "variations of pictures" : "") << "\n";
    print_tokenizer(dalle2::ClipTokenizer::from_directory(directory.folder("tokenizer")));
    std::cout << "  picture    " << decoder.sample_size << "×" << decoder.sample_size
              << " by the decoder, " << upsampler.sample_size << "×" << upsampler.sample_size
              << " by the upsampler\n  settings   prior " << settings.prior_steps
              << " steps, guidance " << settings.prior_guidance_scale << "; decoder "
              << settings.decoder_steps << " steps, guidance " << settings.decoder_guidance_scale
              << "; upsampler " << settings.super_resolution_steps << " steps\n\n";

    print_row("network", "parameters", "weights", "runs", "GFLOP per run", "GFLOP per picture");
    std::int64_t parameters = 0;
    double total = 0;
    for (const auto& cost : dalle2::model_cost(directory, {.settings = settings})) {
        const double all = gigaflops(cost.multiply_adds());
        print_row(cost.component, std::to_string(cost.parameters),
                  files_text(directory.weights_path(cost.component)), std::to_string(cost.runs),
                  number_of(gigaflops(cost.log.multiply_adds())), number_of(all));
        parameters += cost.parameters;
        total += all;
    }
    print_row("together", std::to_string(parameters), "", "", "", number_of(total));
    print_memory(directory, settings);
}

// A CLIP of transformers: one encoder or both.
void print_clip(const std::filesystem::path& folder, const std::string& variant) {
    using dalle2::ConfigReader;
    const std::filesystem::path config = folder / "config.json";
    const std::string kind = ConfigReader::from_file(config).get_one_of(
        "model_type", {"clip", "clip_text_model", "clip_vision_model"});
    std::optional<dalle2::ClipTextConfig> text;
    std::optional<dalle2::ClipImageConfig> image;
    if (kind == "clip") {
        const dalle2::ClipConfig both = dalle2::clip_config(ConfigReader::from_file(config));
        text = both.text;
        image = both.image;
    } else if (kind == "clip_text_model") {
        text = dalle2::clip_text_config(ConfigReader::from_file(config));
    } else {
        image = dalle2::clip_image_config(ConfigReader::from_file(config));
    }
    std::cout << folder.string() << "\n  CLIP       embeddings of "
              << (text ? text->projection_dim : image->projection_dim) << " numbers\n";
    std::error_code ignored;
    for (const char* file : {"vocab.json", "tokenizer.json"})
        if (text && std::filesystem::exists(folder / file, ignored)) {
            print_tokenizer(dalle2::ClipTokenizer::from_directory(folder));
            break;
        }
    if (image)
        std::cout << "  picture    " << image->image_size << "×" << image->image_size
                  << " pixels, in patches of " << image->patch_size << "\n";
    std::cout << "\n";
    print_row("network", "parameters", "weights", "", "GFLOP per run", "");
    const std::string files =
        files_text(dalle2::find_weights(folder, "model.safetensors", variant).path);
    const auto print = [&](const char* name, std::int64_t parameters, const dalle2::TraceLog& log) {
        print_row(name, std::to_string(parameters), files, "",
                  number_of(gigaflops(log.multiply_adds())), "");
    };
    if (text)
        print("text_encoder",
              dalle2::parameter_count(dalle2::ClipTextEncoder<dalle2::Trace>(*text)),
              dalle2::trace_text_embedding(*text, 1, text->max_position_embeddings));
    if (image)
        print("image_encoder",
              dalle2::parameter_count(dalle2::ClipImageEncoder<dalle2::Trace>(*image)),
              dalle2::trace_image_encoder(*image, 1));
}

void print_model(const std::string& path, const std::string& variant = "") {
    const std::filesystem::path folder = dalle2::resolve_model_path(path);
    std::error_code ignored;
    if (std::filesystem::exists(folder / "config.json", ignored) &&
        !std::filesystem::exists(folder / "model_index.json", ignored))
        print_clip(folder, variant);
    else
        print_pipeline(dalle2::ModelDirectory(folder, variant));
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
    const auto path = std::make_shared<std::string>(), variant = std::make_shared<std::string>();
    CLI::Option* path_option = info->add_option(
        "PATH", *path,
        "A model's folder (a pipeline or a CLIP) or its name in the Hugging Face cache; or a "
        "PNG file that dalle2 made");
    add_variant_option(*info, *variant)->needs(path_option);
    info->footer(
        "Examples:\n"
        "  dalle2 info            this machine, and the model that comes with dalle2\n"
        "  dalle2 info MODEL      the networks of a model, their sizes and their cost, and the "
        "memory that\n"
        "                         one picture takes on each engine\n"
        "  dalle2 info out.png    prompt, seed and settings of a picture");
    info->callback([path, variant] {
        std::error_code error;
        const bool picture = !path->empty() && !std::filesystem::is_directory(*path, error);
        if (picture && std::filesystem::exists(*path, error)) {
            print_picture(*path);
            return;
        }
        if (!path->empty()) {
            print_model(*path, *variant);
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
