// The one place where kernels meet threads.
#pragma once

#include <cstdint>

#ifdef _OPENMP
#include <omp.h>
#endif

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

// Calls body(task, thread) for each task in [0, tasks), thread in [0, thread_count()). Which thread
// takes which task is left open, so a task must not depend on it; body must not throw.
template <class Body>
void parallel_for(int64 tasks, const Body& body) {
#ifdef _OPENMP
    const int threads = static_cast<int>(tasks < thread_count() ? tasks : thread_count());
    if (threads > 1) {
#pragma omp parallel for schedule(dynamic) num_threads(threads)
        for (int64 task = 0; task < tasks; ++task) body(task, omp_get_thread_num());
        return;
    }
#endif
    for (int64 task = 0; task < tasks; ++task) body(task, 0);
}

}  // namespace dalle2::kernels
