// How long a piece of work takes.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>

namespace kernel_benchmark {

// The shortest of several runs, which together take at least so many seconds, after a first one
// that does not count.
inline double seconds_of(const std::function<void()>& run, double least) {
    using clock = std::chrono::steady_clock;
    run();
    double best = 1e30, total = 0;
    for (int i = 0; i < 3 || total < least; ++i) {
        const auto begin = clock::now();
        run();
        const double seconds = std::chrono::duration<double>(clock::now() - begin).count();
        best = std::min(best, seconds);
        total += seconds;
    }
    return best;
}

}  // namespace kernel_benchmark
