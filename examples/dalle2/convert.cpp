// dalle2 convert: a model's weights in another precision, in one file or in several.
#include <algorithm>
#include <cctype>
#include <cmath>
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
#include <utility>
#include <vector>

#include <dalle2/io/convert_weights.hpp>
#include <dalle2/io/hub_cache.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/io/write_packed.hpp>

#include "choose_int8.hpp"
#include "commands.hpp"
#include "terminal.hpp"

namespace tool {

namespace {

namespace fs = std::filesystem;

struct ConvertSettings {
    std::string input, output, dtype = "keep", max_shard_size, variant, as_variant;
    bool int8 = false, packed = false;
};

std::optional<dalle2::DType> dtype_of(const std::string& name) {
    using dalle2::DType;
    if (name == "float64") return DType::f64;
    if (name == "float32") return DType::f32;
    if (name == "float16") return DType::f16;
    if (name == "bfloat16") return DType::bf16;
    return std::nullopt;
}

// "500MB", "2GB" (powers of ten, as the reference counts), or plain bytes.
std::uint64_t size_of_text(const std::string& text) {
    if (text.empty()) return 0;
    std::size_t end = 0;
    double value = 0;
    try {
        value = std::stod(text, &end);
    } catch (const std::exception&) {
        end = 0;
    }
    std::string unit = text.substr(end);
    for (char& c : unit) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    const double factor = unit == "GB"                  ? 1e9
                          : unit == "MB"                ? 1e6
                          : unit == "KB"                ? 1e3
                          : unit.empty() || unit == "B" ? 1.0
                                                        : 0.0;
    if (end == 0 || factor == 0.0 || !(value * factor >= 1 && value * factor < 1e18))
        throw dalle2::ConfigError("--max-shard-size \"" + text +
                                  "\": expected a size such as 500MB or 2GB");
    return static_cast<std::uint64_t>(value * factor);
}

// Weights of any program; everything else in a model's folder is small and copied as it is.
bool is_weights(const fs::path& path) {
    const std::string name = path.filename().string();
    for (const char* ending : {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".h5",
                               ".onnx", ".onnx_data", ".gguf"})
        if (name.ends_with(ending)) return true;
    return name.find(".safetensors.index.") != std::string::npos ||
           name.find(".bin.index.") != std::string::npos;
}

// The stem under which a folder's weights are saved; empty when it has none.
std::string stem_of(const fs::path& folder) {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
        const std::string name = entry.path().filename().string();
        if (!is_weights(name)) continue;
        if (name.starts_with("diffusion_pytorch_model.") ||
            name.starts_with("diffusion_pytorch_model-"))
            return "diffusion_pytorch_model";
        for (const char* stem : {"model.", "model-", "pytorch_model.", "pytorch_model-"})
            if (name.starts_with(stem)) return "model";
    }
    return "";
}

class Conversion {
public:
    Conversion(const ConvertSettings& settings, const std::stop_token& stop)
        : settings_(settings), stop_(stop) {
        options_.dtype =
            dtype_of(settings.int8 && settings.dtype == "keep" ? "bfloat16" : settings.dtype);
        if (settings.packed && options_.dtype) dalle2::check_packed_dtype(*options_.dtype);
        options_.max_shard_size = size_of_text(settings.max_shard_size);
        options_.variant = settings.as_variant;
        options_.warn = [this](const std::string& text) {
            bar_.finish();
            warn(text);
        };
        options_.on_progress = [this, stop](std::uint64_t done, std::uint64_t total) {
            constexpr std::uint64_t megabyte = 1'000'000;
            bar_.update(name_, static_cast<std::int64_t>(done / megabyte),
                        static_cast<std::int64_t>(total / megabyte));
            if (stop.stop_requested()) throw dalle2::Cancelled();
        };
    }

    void run() {
        const fs::path input = dalle2::resolve_model_path(settings_.input);
        std::error_code error;
        if (!fs::exists(input, error))
            throw dalle2::IoError("nothing to convert at '" + settings_.input +
                                  "'; expected a model's folder or a file of weights");
        const bool folder = fs::is_directory(input, error);
        if (settings_.int8 && !(folder && fs::exists(input / "model_index.json", error)))
            throw dalle2::ConfigError(
                "--int8 tries the model to see which layers can become int8, and '" +
                settings_.input +
                "' is no model that draws; expected a folder with "
                "model_index.json");
        if (folder)
            convert_model(input, settings_.output);
        else
            convert_file(input, settings_.output);
        bar_.finish();
        std::cout << settings_.output << ": " << count_ << (count_ == 1 ? " network" : " networks")
                  << " converted\n";
    }

private:
    void convert_file(const fs::path& input, const fs::path& output) {
        if (output.extension() != ".safetensors")
            throw dalle2::ConfigError("cannot convert a file to '" + output.string() +
                                      "'; expected a name that ends in .safetensors");
        name_ = input.filename().string();
        const dalle2::WeightFiles source(input);
        check_writable(output.string());
        const fs::path folder = output.has_parent_path() ? output.parent_path() : fs::path(".");
        write(source, folder, output.stem().string());
        ++count_;
    }

    void convert_model(const fs::path& input, fs::path output) {
        std::error_code error;
        if (!output.has_filename()) output = output.parent_path();  // "new/"
        const std::string inside = fs::weakly_canonical(fs::absolute(output))
                                       .lexically_relative(fs::canonical(input))
                                       .string();
        if (!inside.starts_with(".."))
            throw dalle2::IoError("cannot convert '" + settings_.input + "' to '" +
                                  output.string() +
                                  "', which is in it; give the name of a folder elsewhere");
        if (fs::exists(output, error) &&
            (!fs::is_directory(output, error) || !fs::is_empty(output)))
            throw dalle2::IoError("cannot convert to '" + output.string() +
                                  "': it is not an empty folder; give the name of a new one");
        // Under another name until it is complete.
        const fs::path unfinished = output.string() + ".unfinished";
        fs::remove_all(unfinished, error);
        if (settings_.int8) choose_int8_layers(input);
        try {
            convert_folders(input, unfinished);
        } catch (...) {
            fs::remove_all(unfinished, error);
            throw;
        }
        fs::remove(output, error);  // an empty folder
        fs::rename(unfinished, output, error);
        if (error)
            throw dalle2::IoError("cannot rename " + unfinished.string() + " to " +
                                  output.string() + ": " + error.message());
    }

    void choose_int8_layers(const fs::path& input) {
        choices_ = choose_int8(input, settings_.variant, stop_,
                               [this](const std::string& text) { bar_.begin(text); });
        bar_.finish();
        std::cout
            << "network            layers in int8   of their work   output against bfloat16\n";
        for (const auto& [component, choice] : choices_) {
            std::ostringstream line;
            line << std::left << std::setw(17) << component << std::right << std::setw(5)
                 << choice.weights.size() << " of " << std::left << std::setw(9)
                 << choice.candidates << std::right << std::fixed << std::setprecision(0)
                 << std::setw(7)
                 << 100 * choice.int8_multiply_adds / std::max(choice.candidate_multiply_adds, 1.0)
                 << " %" << std::setw(17) << std::setprecision(1) << choice.decibels << " dB\n";
            std::cout << line.str();
        }
    }

    // Both the model's own folder, for a network alone, and those in it, for a pipeline.
    void convert_folders(const fs::path& input, const fs::path& output) {
        convert_folder(input, output, fs::weakly_canonical(input).filename().string());
        for (const fs::directory_entry& entry : fs::directory_iterator(input))
            if (entry.is_directory())
                convert_folder(entry.path(), output / entry.path().filename(),
                               entry.path().filename().string());
        if (count_ == 0)
            throw dalle2::IoError("no weights in '" + settings_.input +
                                  "' nor in the folders in it; expected model.safetensors, "
                                  "diffusion_pytorch_model.safetensors or PyTorch's .bin");
    }

    void convert_folder(const fs::path& input, const fs::path& output, const std::string& name) {
        std::error_code error;
        fs::create_directories(output, error);
        if (error)
            throw dalle2::IoError("cannot make the folder " + output.string() + ": " +
                                  error.message());
        for (const fs::directory_entry& entry : fs::directory_iterator(input))
            if (entry.is_regular_file() && !is_weights(entry.path()))
                copy_small(entry.path(), output / entry.path().filename());
        const std::string stem = stem_of(input);
        if (stem.empty()) return;
        name_ = name;
        if (settings_.int8) {
            const auto choice = choices_.find(name);
            options_.int8 =
                choice == choices_.end() ? std::set<std::string>() : choice->second.weights;
        }
        const dalle2::WeightFiles source(
            dalle2::find_weights(input, stem + ".safetensors", settings_.variant).path);
        write(source, output, stem);
        ++count_;
    }

    void write(const dalle2::WeightFiles& source, const fs::path& folder,
               const std::string& stem) const {
        if (settings_.packed)
            dalle2::write_packed(source, folder, stem, options_);
        else
            dalle2::convert_weights(source, folder, stem, options_);
    }

    // config.json may state the precision of the weights.
    void copy_small(const fs::path& from, const fs::path& to) const {
        std::string bytes = dalle2::read_file(from);
        if ((options_.dtype || settings_.packed) && from.filename() == "config.json") {
            dalle2::OrderedJson config = dalle2::OrderedJson::parse(bytes, nullptr, false);
            for (const char* key : {"torch_dtype", "dtype"})
                if (config.is_object() && config.contains(key)) {
                    config[key] = settings_.dtype == "keep" ? "bfloat16" : settings_.dtype;
                    bytes = config.dump(2) + "\n";
                }
        }
        dalle2::write_file(to, bytes);
    }

    const ConvertSettings& settings_;
    std::stop_token stop_;
    std::map<std::string, dalle2::Int8Choice> choices_;
    dalle2::ConvertOptions options_;
    ProgressBar bar_{"MB"};
    std::string name_;
    int count_ = 0;
};

}  // namespace

void add_convert(CLI::App& app, const std::stop_token& stop) {
    CLI::App* command = app.add_subcommand(
        "convert", "Write a model's weights in another precision, in one file or in several");
    const auto settings = std::make_shared<ConvertSettings>();
    command
        ->add_option("MODEL", settings->input,
                     "A model's folder, its name in the Hugging Face cache, or a file of weights: "
                     "safetensors, or PyTorch's")
        ->required();
    command
        ->add_option("OUTPUT", settings->output,
                     "A new folder; for a file of weights, a name that ends in .safetensors")
        ->required();
    command
        ->add_option("--dtype", settings->dtype,
                     "keep, float64, float32, float16 or bfloat16; integers stay as they are")
        ->check(
            CLI::IsMember({"keep", "float64", "float32", "float16", "bfloat16"}).description(""))
        ->capture_default_str();
    command->add_flag(
        "--int8", settings->int8,
        "Store as int8, with a scale for each output, as many layers as leave each network's "
        "output " +
            number_text(least_int8_decibels()) +
            " dB above the noise that this adds; the rest as --dtype, bfloat16 unless given. To "
            "measure that, it draws two pictures in bfloat16 first, in few steps, and tries "
            "every network");
    CLI::Option* shards =
        command->add_option("--max-shard-size", settings->max_shard_size,
                            "Several files with an index, none larger, such as 2GB; otherwise one");
    command
        ->add_flag("--packed", settings->packed,
                   "Store weights in the order in which they are multiplied, as bfloat16 unless "
                   "--dtype float32 or --int8: they are then used where they lie in the file, and "
                   "loaded several times as fast")
        ->excludes(shards);
    add_variant_option(*command, settings->variant);
    command
        ->add_option("--as-variant", settings->as_variant,
                     "Write such names: fp16 for model.fp16.safetensors")
        ->check(CLI::Validator(
            [](const std::string& text) {
                return text.find_first_of("./-\\") == std::string::npos && text.size() < 40
                           ? std::string()
                           : "\"" + text + "\" is no variant; expected a word such as fp16";
            },
            ""));
    command->footer(
        "What is written, diffusers and transformers read, except with --int8 and --packed: those "
        "are for this program alone, which runs them on every engine, on every processor. "
        "Everything else in the folder is copied.\n"
        "Examples:\n"
        "  dalle2 convert karlo karlo-bf16 --dtype bfloat16       half the size of float32\n"
        "  dalle2 convert karlo karlo-int8 --int8                 a quarter of it, for --engine "
        "int8\n"
        "  dalle2 convert karlo-int8 karlo-ready --packed         the same, ready to be used\n"
        "  dalle2 convert karlo karlo-parts --max-shard-size 1GB\n"
        "  dalle2 convert pytorch_model.bin model.safetensors");
    command->callback([settings, stop] { Conversion(*settings, stop).run(); });
}

}  // namespace tool
