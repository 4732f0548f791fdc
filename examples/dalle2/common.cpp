#include <charconv>
#include <cmath>
#include <filesystem>
#include <limits>
#include <sstream>

#include <dalle2/io/atomic_file.hpp>

#include "commands.hpp"

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

void check_writable(const std::string& path) {
    // Without commit() the file never appears.
    dalle2::AtomicFile probe(path);
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
