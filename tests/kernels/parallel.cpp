// Where kernels meet threads: how many are used, by whom, and in which floating-point environment.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include <dalle2/core/thread_scope.hpp>
#include <dalle2/kernels/parallel.hpp>

using namespace dalle2;

namespace {

// The threads that take part in a loop of many slow tasks.
std::set<std::thread::id> threads_of_a_loop() {
    std::set<std::thread::id> threads;
    std::mutex mutex;
    kernels::parallel_for(64, [&](std::int64_t, int) {
        std::this_thread::sleep_for(std::chrono::microseconds(200));
        const std::lock_guard lock(mutex);
        threads.insert(std::this_thread::get_id());
    });
    return threads;
}

// Whether this thread computes with denormal numbers.
bool knows_denormals() {
    volatile float smallest = std::numeric_limits<float>::min();
    volatile float half = smallest * 0.5f;
    return half > 0.0f;
}

}  // namespace

TEST_CASE("each task is done once, by a thread whose number is below the count") {
    for (const int threads : {1, 2, 3, 7}) {
        const ThreadScope scope(threads);
        std::vector<int> done(100);
        const int count = kernels::thread_count();
        kernels::parallel_for(100, [&](std::int64_t task, int thread) {
            ++done[static_cast<std::size_t>(task)];
            if (thread < 0 || thread >= count) done[0] = 99;
        });
        CHECK(std::count(done.begin(), done.end(), 1) == 100);
    }
}

#ifdef _OPENMP

TEST_CASE("a loop uses as many threads as the scope says") {
    for (const int threads : {1, 2, 3}) {
        const ThreadScope scope(threads);
        CHECK(threads_of_a_loop().size() == static_cast<std::size_t>(threads));
    }
}

TEST_CASE("threads stay for the next loop, however few tasks one has") {
    static std::atomic<int> made{0};
    struct Counted {
        Counted() { ++made; }
    };
    const ThreadScope scope(4);
    for (int i = 0; i < 10; ++i)
        for (const std::int64_t tasks : {2, 64})
            kernels::parallel_for(tasks, [](std::int64_t, int) {
                static thread_local Counted counted;
                (void)&counted;
                std::this_thread::sleep_for(std::chrono::microseconds(200));
            });
    CHECK(made <= 4);
}

TEST_CASE("two callers with one thread each use themselves alone, whatever others have set") {
    const ThreadScope many(4);
    std::vector<std::set<std::thread::id>> used(2);
    std::vector<std::thread::id> callers(2);
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < 2; ++i)
            threads.emplace_back([&, i] {
                const ThreadScope one(1);
                callers[i] = std::this_thread::get_id();
                used[i] = threads_of_a_loop();
            });
    }
    for (std::size_t i = 0; i < 2; ++i) CHECK(used[i] == std::set<std::thread::id>{callers[i]});
}

TEST_CASE("inside a parallel region of the application, a loop uses the thread that it is on") {
    std::vector<std::size_t> counts(3);
    std::vector<char> own(3);
#pragma omp parallel num_threads(3)
    {
        const auto i = static_cast<std::size_t>(omp_get_thread_num());
        const std::set<std::thread::id> used = threads_of_a_loop();
        counts[i] = used.size();
        own[i] = used.contains(std::this_thread::get_id());
    }
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(counts[i] == 1);
        CHECK(own[i]);
    }
}

#endif

#if defined(__x86_64__)

TEST_CASE("denormal numbers count as zero in kernels, and nowhere else afterwards") {
    for (const int threads : {1, 3}) {
        const ThreadScope scope(threads);
        REQUIRE(knows_denormals());
        std::vector<char> known(50);
        kernels::parallel_for(50, [&](std::int64_t task, int) {
            known[static_cast<std::size_t>(task)] = knows_denormals();
        });
        CHECK(std::count(known.begin(), known.end(), 0) == 50);
        CHECK(knows_denormals());
        // The threads of the pool are the application's too.
        int pool = 0;
#pragma omp parallel num_threads(3) reduction(+ : pool)
        pool += knows_denormals();
#ifdef _OPENMP
        CHECK(pool == 3);
#endif
    }
}

#endif
