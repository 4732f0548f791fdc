// --threads, as every benchmark of one count of threads has it.
#pragma once

#include <CLI/CLI.hpp>

namespace benchmark_options {

inline void add_threads(CLI::App& app, int& threads) {
    app.add_option("--threads", threads,
                   "0: as many as OpenMP gives (OMP_NUM_THREADS, else one for each core)")
        ->check(CLI::Range(0, 1024))
        ->capture_default_str();
}

}  // namespace benchmark_options
