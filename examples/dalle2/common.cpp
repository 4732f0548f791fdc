#include <charconv>
#include <cmath>
#include <filesystem>
#include <limits>
#include <sstream>
#include <vector>

#include <dalle2/engine/engine_kind.hpp>
#include <dalle2/io/atomic_file.hpp>
#include <dalle2/text/clip_tokenizer.hpp>

#include "commands.hpp"
#include "terminal.hpp"

namespace tool {

std::string shipped_model() {
    namespace fs = std::filesystem;
    std::error_code error;
    const fs::path in_source = fs::path(DALLE2_SOURCE_DIR) / "examples/models/emoji-scenes";
    const fs::path self = fs::read_symlink("/proc/self/exe", error);
    if (!error) {
        const fs::path installed =
            self.parent_path().parent_path() / "share/dalle2/models/emoji-scenes";
        if (fs::exists(installed, error)) return installed.string();
    }
    return in_source.string();
}

std::string number_text(double value) {
    std::ostringstream text;
    text << value;
    return text.str();
}

void check_writable(const std::string& path) {
    // Without commit() the file never appears.
    dalle2::AtomicFile probe(path);
}

void add_engine_option(CLI::App& command, std::string& engine) {
    command
        .add_option("--engine", engine,
                    "reference (slow, exact), float32, bfloat16, or int8 (weights as bytes; best "
                    "with a model of `dalle2 convert --int8`)")
        ->check(one_of(dalle2::engine_names))
        ->capture_default_str();
}

void add_threads_option(CLI::App& command, int& threads) {
    CLI::Option* option =
        command
            .add_option("--threads", threads,
                        "0: as many as OpenMP gives (OMP_NUM_THREADS, else one for each core)")
            ->check(whole(0, 1024))
            ->capture_default_str();
#ifdef _OPENMP
    (void)option;
#else
    option->each([](const std::string& text) {
        if (text != "0" && text != "1")
            warn("--threads " + text +
                 " is ignored: this program was built without OpenMP and "
                 "uses one thread");
    });
#endif
}

CLI::Option* add_variant_option(CLI::App& command, std::string& variant) {
    return command.add_option(
        "--variant", variant,
        "Which weights, where a folder has several: fp16 for model.fp16.safetensors");
}

void warn_of_truncation(const dalle2::Tokens& tokens, const dalle2::ClipTokenizer& tokenizer,
                        const std::string& place) {
    if (tokens.truncated)
        warn(place + "the model reads " + std::to_string(tokenizer.max_length()) +
             " tokens at most; it does not see \"" + tokens.dropped + "\"");
}

CLI::Validator one_of(std::span<const char* const> names) {
    return CLI::IsMember(std::vector<std::string>(names.begin(), names.end())).description("");
}

CLI::Validator finite() {
    return between(-std::numeric_limits<double>::max(), std::numeric_limits<double>::max());
}

CLI::Validator between(double low, double high) {
    return CLI::Validator(
        [low, high](const std::string& text) -> std::string {
            double value = 0;
            const auto [end, error] =
                std::from_chars(text.data(), text.data() + text.size(), value);
            if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
                return "\"" + text + "\" is not a finite number";
            if (value >= low && value <= high) return {};
            std::ostringstream message;
            message << text << " is out of range; expected " << low << " to " << high;
            return message.str();
        },
        "");
}

CLI::Validator whole(std::uint64_t low, std::uint64_t high) {
    return CLI::Validator(
        [low, high](const std::string& text) -> std::string {
            std::uint64_t value = 0;
            const auto [end, error] =
                std::from_chars(text.data(), text.data() + text.size(), value);
            if (error == std::errc() && end == text.data() + text.size() && value >= low &&
                value <= high)
                return {};
            return "\"" + text + "\" is not a whole number from " + std::to_string(low) + " to " +
                   std::to_string(high);
        },
        "");
}

}  // namespace tool
