// What can this machine do at most? Products in registers alone, in each precision that an engine
// multiplies, and the speed of memory, for one thread, two, and so on to all of them. Every other
// benchmark measures its peak anew, in its own run, in the same way.
//
//     peak --json peak.json
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <dalle2/core/thread_scope.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/kernels/bandwidth.hpp>
#include <dalle2/kernels/peak.hpp>

namespace {

using namespace dalle2;

// The columns of products: what is multiplied, and how fast.
std::vector<std::pair<std::string, double>> products(double seconds) {
    return {{"float32", kernels::measured_peak(false, seconds)},
            {"bfloat16", kernels::measured_peak(true, seconds)},
            {"int8", kernels::measured_int8_peak(seconds)}};
}

// 1, 2, 4, ... and `most` itself.
std::vector<int> thread_counts(int most) {
    std::vector<int> counts;
    for (int threads = 1; threads < most; threads *= 2) counts.push_back(threads);
    counts.push_back(most);
    return counts;
}

}  // namespace

int main(int argc, char** argv) try {
    CLI::App app("The most that this machine multiplies and moves");
    std::string json_file;
    double seconds = 0.5;
    int most = kernels::thread_count();
    std::int64_t megabytes = 256;
    app.add_option("--json", json_file, "also write the figures to this file");
    app.add_option("--seconds", seconds, "measure each figure for at least this long")
        ->check(CLI::PositiveNumber);
    app.add_option("--threads", most, "at most so many")->check(CLI::Range(1, 1024));
    app.add_option("--megabytes", megabytes,
                   "of each array in memory: more than the last cache holds")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);

    const char* isa = kernels::name_of(kernels::current_isa());
    OrderedJson report = {{"isa", isa}, {"threads", OrderedJson::array()}};
    std::printf("%s; products in GFLOP/s, memory in GB/s\nthreads", isa);
    for (const auto& [name, speed] : products(0)) std::printf("%10s", name.c_str());
    std::printf("%10s%10s%10s\n", "read", "write", "copy");
    for (const int threads : thread_counts(most)) {
        const ThreadScope scope(threads);
        std::printf("%7d", threads);
        OrderedJson row = {{"threads", threads}};
        for (const auto& [name, speed] : products(seconds)) {
            std::printf("%10.0f", speed);
            row[name] = speed;
        }
        const kernels::Bandwidth memory = kernels::measured_bandwidth(megabytes << 20, seconds);
        std::printf("%10.1f%10.1f%10.1f\n", memory.read, memory.write, memory.copy);
        std::fflush(stdout);
        row["read"] = memory.read, row["write"] = memory.write, row["copy"] = memory.copy;
        report["threads"].push_back(row);
    }
    if (!json_file.empty()) write_json(json_file, report);
    return 0;
} catch (const std::exception& error) {
    std::cerr << "peak: " << error.what() << "\n";
    return 1;
}
