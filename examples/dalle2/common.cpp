#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <sstream>

#ifdef _OPENMP
#include <omp.h>
#endif

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

void use_threads(int threads) {
#ifdef _OPENMP
    if (threads > 0) omp_set_num_threads(threads);
#else
    (void)threads;
#endif
}

CLI::Validator finite() {
    return between(-std::numeric_limits<double>::max(), std::numeric_limits<double>::max());
}

CLI::Validator between(double low, double high) {
    return CLI::Validator(
        [low, high](const std::string& text) -> std::string {
            char* end = nullptr;
            const double value = std::strtod(text.c_str(), &end);
            if (end == text.c_str() || *end != '\0' || !std::isfinite(value))
                return "\"" + text + "\" is not a finite number";
            if (value >= low && value <= high) return {};
            std::ostringstream message;
            message.precision(15);
            message << text << " is out of range; expected " << low << " to " << high;
            return message.str();
        },
        "");
}

}  // namespace tool
