// Who makes steps of training, and how they take turns.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "../python_process.hpp"
#include "../spread.hpp"
#include "pytorch.hpp"

namespace training_benchmark {

struct Contender {
    std::string name;    // "dalle2 bfloat16"
    bool pytorch;        // or else dalle2
    bool bfloat16;       // what it multiplies, or else float32
    std::int64_t bytes;  // of memory at most, for the making and the first steps
    double first;        // seconds of a step before all rounds
    // Makes steps for at least so many seconds; the mean of their seconds.
    std::function<double(double)> turn;
    std::vector<double> seconds;  // of a step, in each round

    double median() const { return benchmark_figures::Spread(seconds).median; }
};

// The mean seconds of runs that take at least so long together, after one that does not count: it
// wakes threads and caches.
inline double seconds_of_turn(const std::function<void()>& run, double least) {
    using clock = std::chrono::steady_clock;
    run();
    const auto begin = clock::now();
    for (int runs = 1;; ++runs) {
        run();
        const double passed = std::chrono::duration<double>(clock::now() - begin).count();
        if (passed >= least) return passed / runs;
    }
}

// PyTorch in a process of its own, as the request of pytorch_script asks. Throws Error with the
// reason when that does not run.
inline Contender make_pytorch(const std::string& python, const nlohmann::json& request) {
    const auto process = std::make_shared<benchmark_python::PythonProcess>(python, pytorch_script);
    const nlohmann::json made = process->ask(request);
    return {.name = made["name"],
            .pytorch = true,
            .bfloat16 = request["precision"] == "bfloat16",
            .bytes = made["bytes"],
            .first = made["seconds"],
            .turn =
                [process](double least) {
                    return process->ask({{"turn", least}})["seconds"].get<double>();
                },
            .seconds = {}};
}

// Takes out those of PyTorch that are so much slower than its fastest that their turns would be for
// nothing (bfloat16 on a processor without instructions for it takes minutes); tells each name, and
// why.
inline void leave_out_hopeless(std::vector<Contender>& contenders, nlohmann::json& left_out) {
    constexpr double patience = 2;  // seconds; below, it is not worth it
    constexpr int hopeless = 5;     // times
    const Contender* best = nullptr;
    for (const Contender& contender : contenders)
        if (contender.pytorch && (!best || contender.first < best->first)) best = &contender;
    if (!best) return;
    const double limit = std::max(patience, hopeless * best->first);
    const std::string of_best =
        " s, more than " + std::to_string(hopeless) + " times that of " + best->name;
    std::erase_if(contenders, [&](const Contender& contender) {
        if (!contender.pytorch || contender.first <= limit) return false;
        char seconds[32];
        std::snprintf(seconds, sizeof seconds, "%.1f", contender.first);
        left_out[contender.name] = "a step took " + (seconds + of_best);
        return true;
    });
}

// So many rounds, in each of which every contender makes steps for at least so many seconds.
inline void take_turns(std::vector<Contender>& contenders, int rounds, double least) {
    for (int round = 0; round < rounds; ++round)
        for (Contender& contender : contenders) {
            // Until the threads of the last one have stopped waiting for more work.
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            contender.seconds.push_back(contender.turn(least));
        }
}

// The fastest of PyTorch's, or of ours; null where there is none.
inline const Contender* fastest(const std::vector<Contender>& contenders, bool pytorch) {
    const Contender* best = nullptr;
    for (const Contender& contender : contenders)
        if (contender.pytorch == pytorch && (!best || contender.median() < best->median()))
            best = &contender;
    return best;
}

// How many times as fast as `rival`, in each round.
inline benchmark_figures::Spread ratio(const Contender& ours, const Contender& rival) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < ours.seconds.size(); ++i)
        ratios.push_back(rival.seconds[i] / ours.seconds[i]);
    return benchmark_figures::Spread(ratios);
}

}  // namespace training_benchmark
