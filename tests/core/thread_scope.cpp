#include <doctest/doctest.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <thread>

#include <dalle2/core/thread_scope.hpp>
#include <dalle2/kernels/parallel.hpp>

using namespace dalle2;

TEST_CASE("a thread scope decides how many threads a loop uses, and puts back what was before") {
    const int before = kernels::thread_count();
    {
        const ThreadScope three(3);
#ifdef _OPENMP
        CHECK(kernels::thread_count() == 3);
        std::mutex mutex;
        std::set<int> seen;
        int tasks = 0;
        kernels::parallel_for(100, [&](kernels::int64, int thread) {
            const std::lock_guard lock(mutex);
            seen.insert(thread);
            ++tasks;
        });
        CHECK(tasks == 100);
        CHECK(*seen.rbegin() < 3);
        {
            const ThreadScope one(1);
            CHECK(kernels::thread_count() == 1);
            const ThreadScope unchanged(0);
            CHECK(kernels::thread_count() == 1);
        }
        CHECK(kernels::thread_count() == 3);
        int elsewhere = 0;
        std::thread([&] { elsewhere = kernels::thread_count(); }).join();
        CHECK(elsewhere == before);
#endif
    }
    CHECK(kernels::thread_count() == before);
}

TEST_CASE("a number of threads that makes no sense is an error") {
    const int before = kernels::thread_count();
    CHECK_THROWS_AS(ThreadScope(-1), ConfigError);
    CHECK_THROWS_AS(ThreadScope(1025), ConfigError);
    CHECK(kernels::thread_count() == before);
}
