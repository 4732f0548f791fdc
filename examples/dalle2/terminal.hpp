// What the tool shows while it works, and how it hears Ctrl-C.
#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string>
#include <thread>

namespace tool {

// Progress of one stage after another, on standard error: a bar that moves on a terminal; one
// plain line at the end of each stage when the output goes to a file or a pipe.
class ProgressBar {
public:
    // `unit` is what is counted, such as "MB"; steps when it is empty.
    explicit ProgressBar(std::string unit = "");
    ~ProgressBar();
    ProgressBar(const ProgressBar&) = delete;
    ProgressBar& operator=(const ProgressBar&) = delete;

    // `done` of `total` steps of `stage` are finished. A new name begins a new stage.
    void update(const std::string& stage, std::int64_t done, std::int64_t total);
    // Begins a stage whose steps cannot be counted: its name alone is shown until the next.
    void begin(const std::string& stage);
    // Ends the line of the stage, so that other text may follow.
    void finish();

private:
    using Clock = std::chrono::steady_clock;

    bool terminal_;
    std::string unit_;
    std::string stage_;
    std::int64_t done_ = 0, total_ = 0;
    Clock::time_point began_, drawn_;
    bool open_ = false;  // something stands on the last line
};

// A line of text that changes as work goes on: on a terminal each overwrites the one before it,
// elsewhere each is a line of its own. On standard error.
class StatusLine {
public:
    StatusLine();
    ~StatusLine();
    StatusLine(const StatusLine&) = delete;
    StatusLine& operator=(const StatusLine&) = delete;

    void show(const std::string& text);
    // Ends the line, so that other text may follow.
    void finish();

private:
    bool terminal_;
    bool open_ = false;
};

// Turns Ctrl-C (SIGINT) and SIGTERM into a request to stop, so that the work ends in order and
// leaves nothing half written. A second Ctrl-C ends the process at once. One at a time.
class Interrupt {
public:
    Interrupt();
    ~Interrupt();
    Interrupt(const Interrupt&) = delete;
    Interrupt& operator=(const Interrupt&) = delete;

    std::stop_token token() const { return source_.get_token(); }

private:
    std::stop_source source_;
    std::thread listener_;
};

// A line on standard error: "dalle2: warning: ...".
void warn(const std::string& message);

// "3.2 s", "4 min 10 s", "2 h 05 min".
std::string duration_text(double seconds);

// Several lines as one, control characters replaced: a message stays one line whatever is in it.
std::string one_line(const std::string& text);

}  // namespace tool
