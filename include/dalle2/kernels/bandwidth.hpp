// What a machine's memory can do at most: beside it stand the figures of operations that compute
// little.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include <dalle2/kernels/packed_weights.hpp>
#include <dalle2/kernels/parallel.hpp>

namespace dalle2::kernels {

// In GB/s. A copy counts the bytes that it reads and those that it writes.
struct Bandwidth {
    double read = 0, write = 0, copy = 0;
};

// Of all threads together, for arrays of so many bytes: the best of several runs that take so many
// seconds together. The arrays should be larger than the last cache.
inline Bandwidth measured_bandwidth(int64 bytes = int64{256} << 20, double seconds = 0.3) {
    using Clock = std::chrono::steady_clock;
    constexpr int64 piece = 1 << 16;  // numbers that a task takes at once
    const int64 tasks = std::max<int64>(1, bytes / static_cast<int64>(sizeof(double)) / piece);
    const AlignedBuffer<double> from(tasks * piece), to(tasks * piece);
    std::vector<double> sums(static_cast<std::size_t>(tasks));
    // Pages belong to nobody until they are written.
    parallel_for(tasks, [&](int64 task, int) {
        std::fill_n(from.get() + task * piece, piece, 1.0);
        std::fill_n(to.get() + task * piece, piece, 1.0);
    });
    const auto speed = [&](double factor, const auto& body) {
        double best = 1e30, total = 0;
        for (int i = 0; i < 3 || total < seconds / 3; ++i) {
            const auto begin = Clock::now();
            parallel_for(tasks, body);
            const double taken = std::chrono::duration<double>(Clock::now() - begin).count();
            best = std::min(best, taken);
            total += taken;
        }
        return factor * static_cast<double>(tasks * piece) * sizeof(double) / best * 1e-9;
    };
    Bandwidth found;
    found.read = speed(1, [&](int64 task, int) {
        // Several sums, so that none waits for the one before it.
        const double* x = from.get() + task * piece;
        double sum[32] = {};
        for (int64 i = 0; i < piece; i += 32)
            for (int64 k = 0; k < 32; ++k) sum[k] += x[i + k];
        double all = 0;
        for (const double one : sum) all += one;
        sums[static_cast<std::size_t>(task)] = all;
    });
    found.write = speed(1, [&](int64 task, int) {
        std::memset(static_cast<void*>(to.get() + task * piece), 0, piece * sizeof(double));
    });
    found.copy = speed(2, [&](int64 task, int) {
        std::memcpy(to.get() + task * piece, from.get() + task * piece, piece * sizeof(double));
    });
    return found;
}

}  // namespace dalle2::kernels
