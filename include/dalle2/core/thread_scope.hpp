// How many threads the work of one call may use.
#pragma once

#include <string>

#include <dalle2/core/error.hpp>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace dalle2 {

// While it lives, parallel loops started from this thread use `threads` threads; 0 leaves the
// number as it is. Other threads of the application are not affected. Without OpenMP, a loop uses
// one thread whatever is asked for. Throws ConfigError for a number that is not 0 to 1024.
class ThreadScope {
public:
    explicit ThreadScope(int threads) {
        if (threads < 0 || threads > 1024)
            throw ConfigError("threads is " + std::to_string(threads) +
                              "; expected 1 to 1024, or 0 for as many as OpenMP gives");
#ifdef _OPENMP
        previous_ = omp_get_max_threads();
        if (threads > 0) omp_set_num_threads(threads);
#endif
    }
    ~ThreadScope() {
#ifdef _OPENMP
        omp_set_num_threads(previous_);
#endif
    }
    ThreadScope(const ThreadScope&) = delete;
    ThreadScope& operator=(const ThreadScope&) = delete;

private:
#ifdef _OPENMP
    int previous_ = 0;
#endif
};

}  // namespace dalle2
