// Stopping the work of one call from another thread.
#pragma once

#include <stop_token>
#include <utility>

#include <dalle2/core/error.hpp>

namespace dalle2 {

// While it lives, the operations of the engines on this thread look at `stop` before they begin,
// and throw Cancelled when a stop was requested: within the time of one layer. Scopes may nest; the
// innermost counts, but one whose token nobody can use leaves the one around it in force.
class StopScope {
public:
    explicit StopScope(std::stop_token stop) : stop_(std::move(stop)), previous_(current()) {
        if (stop_.stop_possible()) current() = &stop_;
    }
    ~StopScope() { current() = previous_; }
    StopScope(const StopScope&) = delete;
    StopScope& operator=(const StopScope&) = delete;

    // Throws Cancelled when this thread was asked to stop.
    static void check() {
        if (const std::stop_token* stop = current(); stop && stop->stop_requested())
            throw Cancelled();
    }

private:
    static const std::stop_token*& current() {
        thread_local const std::stop_token* token = nullptr;
        return token;
    }

    std::stop_token stop_;
    const std::stop_token* previous_;
};

}  // namespace dalle2
