// How much memory a piece of work takes.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace training_benchmark {

// The most memory of this process that is resident at one time, from its making on, beyond what was
// resident then. Zero where the system does not tell (it is Linux's /proc that does).
class PeakMemory {
public:
    PeakMemory() {
#if defined(__GLIBC__)
        malloc_trim(0);  // what earlier work has freed would count for nothing
#endif
        std::ofstream("/proc/self/clear_refs") << 5;  // the peak begins anew
        before_ = status("VmRSS:");
    }
    std::int64_t bytes() const { return status("VmHWM:") - before_; }

private:
    static std::int64_t status(const std::string& key) {
        std::ifstream file("/proc/self/status");
        for (std::string line; std::getline(file, line);)
            if (line.starts_with(key)) return 1024 * std::stoll(line.substr(key.size()));
        return 0;
    }

    std::int64_t before_;
};

}  // namespace training_benchmark
