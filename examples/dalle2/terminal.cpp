#include "terminal.hpp"

#include <csignal>
#include <cstdio>
#include <iostream>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace tool {

namespace {

// A signal handler may do little more than write a byte: this is where to.
int signal_pipe[2] = {-1, -1};

extern "C" void on_signal(int) {
    const char byte = 's';
    if (::write(signal_pipe[1], &byte, 1) < 0) ::_exit(130);
}

}  // namespace

ProgressBar::ProgressBar(std::string unit)
    : terminal_(::isatty(STDERR_FILENO) == 1), unit_(std::move(unit)) {}

ProgressBar::~ProgressBar() { finish(); }

void ProgressBar::update(const std::string& stage, std::int64_t done, std::int64_t total) {
    const auto now = Clock::now();
    if (stage != stage_) {
        finish();
        stage_ = stage;
        began_ = now;
        drawn_ = {};
    }
    done_ = done;
    total_ = total;
    open_ = true;
    if (!terminal_) return;
    if (done < total && now - drawn_ < std::chrono::milliseconds(100)) return;
    drawn_ = now;

    constexpr int width = 30;
    const int filled = total > 0 ? static_cast<int>(width * done / total) : 0;
    std::string line = stage;
    line.resize(std::max<std::size_t>(line.size(), 10), ' ');
    line += " [" + std::string(static_cast<std::size_t>(filled), '#') +
            std::string(static_cast<std::size_t>(width - filled), '.') + "] " +
            std::to_string(done) + "/" + std::to_string(total) + (unit_.empty() ? "" : " " + unit_);
    const double seconds = std::chrono::duration<double>(now - began_).count();
    if (done > 0 && done < total)
        line +=
            "  " +
            duration_text(seconds / static_cast<double>(done) * static_cast<double>(total - done)) +
            " left";
    // Carriage return, the line, and whatever an earlier, longer one left behind erased.
    std::cerr << '\r' << line << "\x1b[K" << std::flush;
}

void ProgressBar::begin(const std::string& stage) {
    // What begins in the middle of a stage, such as reading the network of its last step, is a part
    // of it.
    if (!(open_ && done_ < total_)) {
        finish();
        stage_ = stage;
        began_ = Clock::now();
        done_ = total_ = 0;
        open_ = true;
    }
    if (terminal_) std::cerr << '\r' << stage << "\x1b[K" << std::flush;
}

void ProgressBar::finish() {
    if (!open_) return;
    open_ = false;
    const double seconds = std::chrono::duration<double>(Clock::now() - began_).count();
    std::string line = stage_;
    line.resize(std::max<std::size_t>(line.size(), 10), ' ');
    constexpr double worth_telling = 0.5;
    if (total_ == 0 && seconds < worth_telling) {
        if (terminal_) std::cerr << "\r\x1b[K" << std::flush;
        stage_.clear();
        return;
    }
    if (total_ > 0) {
        line += " " + std::to_string(done_);
        if (done_ < total_) line += " of " + std::to_string(total_);
        line += unit_.empty() ? (total_ == 1 ? " step," : " steps,") : " " + unit_ + ",";
    }
    line += " " + duration_text(seconds);
    std::cerr << (terminal_ ? "\r" : "") << line << (terminal_ ? "\x1b[K" : "") << std::endl;
    stage_.clear();
}

StatusLine::StatusLine() : terminal_(::isatty(STDERR_FILENO) == 1) {}

StatusLine::~StatusLine() { finish(); }

void StatusLine::show(const std::string& text) {
    if (terminal_)
        std::cerr << '\r' << text << "\x1b[K" << std::flush;
    else
        std::cerr << text << std::endl;
    open_ = terminal_;
}

void StatusLine::finish() {
    if (open_) std::cerr << std::endl;
    open_ = false;
}

Interrupt::Interrupt() {
    if (::pipe(signal_pipe) != 0) return;  // without a pipe Ctrl-C ends the process, as ever
    for (const int end : signal_pipe) ::fcntl(end, F_SETFD, FD_CLOEXEC);
    listener_ = std::thread([this] {
        for (char byte = 0; ::read(signal_pipe[0], &byte, 1) == 1 && byte == 's';) {
            if (source_.stop_requested()) ::_exit(130);
            std::cerr << "\nstopping; once more to stop at once" << std::endl;
            source_.request_stop();
        }
    });
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
}

Interrupt::~Interrupt() {
    if (!listener_.joinable()) return;
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGTERM, SIG_DFL);
    const char end = 'e';
    if (::write(signal_pipe[1], &end, 1) == 1)
        listener_.join();
    else
        listener_.detach();
}

void warn(const std::string& message) {
    std::cerr << "dalle2: warning: " << one_line(message) << std::endl;
}

std::string duration_text(double seconds) {
    char text[64];
    const auto whole = static_cast<long long>(seconds + 0.5);
    if (seconds < 60)
        std::snprintf(text, sizeof text, "%.1f s", seconds);
    else if (whole < 3600)
        std::snprintf(text, sizeof text, "%lld min %02lld s", whole / 60, whole % 60);
    else
        std::snprintf(text, sizeof text, "%lld h %02lld min", whole / 3600, whole / 60 % 60);
    return text;
}

std::string one_line(const std::string& text) {
    std::string line;
    for (const char c : text) {
        const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
        if (!control)
            line += c;
        else if (!line.empty() && line.back() != ' ')
            line += ' ';
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    return line;
}

}  // namespace tool
