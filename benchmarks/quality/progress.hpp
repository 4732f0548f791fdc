// How far a stage is, on standard error: one moving line on a terminal, a line each tenth
// elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

#include <unistd.h>

namespace quality {

class Progress {
public:
    Progress(std::string stage, std::int64_t total)
        : stage_(std::move(stage)), total_(total), terminal_(::isatty(STDERR_FILENO) == 1) {}
    ~Progress() {
        if (terminal_ && shown_ >= 0) std::fputs("\r\x1b[K", stderr);
    }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void update(std::int64_t done) {
        const std::int64_t part = total_ > 0 ? done * (terminal_ ? 1000 : 10) / total_ : 0;
        if (part == shown_ || (done == 0 && !terminal_)) return;
        shown_ = part;
        const double seconds = elapsed();
        char left[48] = "";
        if (done > 0)
            std::snprintf(left, sizeof left, ", %.0f s left",
                          seconds / static_cast<double>(done) * static_cast<double>(total_ - done));
        std::fprintf(stderr, "%s%s: %lld of %lld, %.0f s%s%s", terminal_ ? "\r" : "",
                     stage_.c_str(), static_cast<long long>(done), static_cast<long long>(total_),
                     seconds, left, terminal_ ? "\x1b[K" : "\n");
        std::fflush(stderr);
    }

    double elapsed() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
    }

private:
    std::string stage_;
    std::int64_t total_, shown_ = -1;
    bool terminal_;
    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

}  // namespace quality
