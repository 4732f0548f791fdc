// The one place where kernels meet threads.
#pragma once

#include <cstdint>

#ifdef _OPENMP
#include <omp.h>
#endif

#include <dalle2/kernels/denormals.hpp>

namespace dalle2::kernels {

using int64 = std::int64_t;

// How many threads a parallel loop started here would use.
inline int thread_count() {
#ifdef _OPENMP
    return omp_in_parallel() ? 1 : omp_get_max_threads();
#else
    return 1;
#endif
}

namespace detail {

// The loop of parallel_for, one for all bodies. (A team is never smaller than the threads that
// there are, also for few tasks: GCC's OpenMP ends the threads that a smaller team leaves over, and
// the next loop would have to make them anew.)
inline void run_tasks(int64 tasks, const void* body, void (*call)(const void*, int64, int)) {
#ifdef _OPENMP
    const int threads = thread_count();
    if (threads > 1 && tasks > 1) {
#pragma omp parallel num_threads(threads)
        {
            const FlushDenormals flush;
#pragma omp for schedule(dynamic) nowait  // the region's end waits anyway
            for (int64 task = 0; task < tasks; ++task) call(body, task, omp_get_thread_num());
        }
        return;
    }
#endif
    const FlushDenormals flush;
    for (int64 task = 0; task < tasks; ++task) call(body, task, 0);
}

}  // namespace detail

// Calls body(task, thread) for each task in [0, tasks), thread in [0, thread_count()). Which thread
// takes which task is left open, so a task must not depend on it; body must not throw. Denormal
// numbers count as zero in it.
template <class Body>
void parallel_for(int64 tasks, const Body& body) {
    detail::run_tasks(tasks, &body, [](const void* erased, int64 task, int thread) {
        (*static_cast<const Body*>(erased))(task, thread);
    });
}

}  // namespace dalle2::kernels
