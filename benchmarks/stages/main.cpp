// How fast is each network of a model, and where does its time go? One network at a time is
// loaded and run on random inputs: seconds, share of what the registers alone reach (measured in
// the same run), and for each kind of operation its part of the time, GFLOP/s and GB/s.
//
//     stages MODEL --json stages.json
//     stages MODEL --only decoder --batch 2 --engine float32
//     stages MODEL --serve        for programs that measure something beside it; see serve.hpp
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/core/thread_scope.hpp>
#include <dalle2/engine/engine_peak.hpp>
#include <dalle2/engine/profile_report.hpp>
#include <dalle2/kernels/bandwidth.hpp>

#include "../effective_share.hpp"
#include "../spread.hpp"
#include "../threads_option.hpp"
#include "network.hpp"
#include "serve.hpp"

namespace {

using namespace dalle2;
using namespace stages_benchmark;
using benchmark_figures::effective_share_note;
using benchmark_figures::Spread;

struct Settings {
    std::string model, engine = to_string(fastest_engine()), json;
    std::vector<std::string> only;
    RunSize size;
    int runs = 5, threads = 0;
    bool serve = false;
};

double seconds_since(std::chrono::steady_clock::time_point began) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

// Measures one network and prints its part of the table.
OrderedJson measure(const ModelDirectory& directory, const std::string& component,
                    EngineKind engine, const Settings& settings) {
    const std::int64_t bytes_per_element =
        engine == EngineKind::cpu_bfloat16 || engine == EngineKind::cpu_int8 ? 2 : 4;
    const RunPlan plan = plan_run(directory, component, settings.size, bytes_per_element);
    auto began = std::chrono::steady_clock::now();
    const auto network = load_network(directory, component, engine);
    const double load_seconds = seconds_since(began);

    const BufferPool pool;
    const BufferPool::Scope scope(pool);
    double peak = measured_engine_peak(engine, 0.2);
    began = std::chrono::steady_clock::now();
    network->prepare(plan.inputs, plan.steps);
    const double preparation_seconds = seconds_since(began);
    network->run(settings.size.whole);  // does not count: it touches its memory for the first time
    std::vector<double> seconds;
    for (int i = 0; i < settings.runs; ++i) {
        began = std::chrono::steady_clock::now();
        network->run(settings.size.whole);
        seconds.push_back(seconds_since(began));
    }
    // Machines become faster and slower; the share is of the best that was seen around the runs.
    peak = std::max(peak, measured_engine_peak(engine, 0.2));
    const Spread spread(seconds);
    Profile profile;
    {
        const Profile::Scope profiling(profile);
        const ProfileRegion region(component);
        network->run(settings.size.whole);
    }
    const std::vector<ProfileRow> rows = profile_rows(profile);

    const double gflop = 2e-9 * static_cast<double>(plan.cost.multiply_adds());
    const double speed = gflop / spread.min;
    std::printf(
        "%s, batch %lld: %.1f M parameters, loaded in %.2f s; %.1f GFLOP, seconds %.4f (min) %.4f "
        "(median) %.4f (max), and %.4f once for %lld steps; %.0f GFLOP/s, %.0f%% of %.0f; "
        "activations %.1f MB at "
        "most\n%s\n",
        component.c_str(), static_cast<long long>(plan.batch),
        1e-6 * static_cast<double>(plan.parameters), load_seconds, gflop, spread.min, spread.median,
        spread.max, preparation_seconds, static_cast<long long>(plan.steps), speed,
        100 * speed / peak, peak, 1e-6 * static_cast<double>(plan.cost.peak_bytes()),
        profile_table(rows, {.gigaflops = peak}).c_str());
    std::fflush(stdout);

    OrderedJson operations = OrderedJson::array();
    for (const ProfileRow& row : rows)
        operations.push_back({{"operation", row.operation},
                              {"calls", row.calls},
                              {"seconds", row.seconds},
                              {"multiply_adds", row.multiply_adds},
                              {"bytes", row.bytes},
                              {"gflops", row.gigaflops()},
                              {"share", row.gigaflops() / peak},
                              {"gigabytes_per_second", row.gigabytes_per_second()}});
    return {{"network", component},
            {"batch", plan.batch},
            {"tokens", plan.tokens},
            {"whole", settings.size.whole},
            {"parameters", plan.parameters},
            {"load_seconds", load_seconds},
            {"steps", plan.steps},
            {"preparation_seconds", preparation_seconds},
            {"seconds", spread.json()},
            {"runs", settings.runs},
            {"gflop", gflop},
            {"gflop_untrimmed", 2e-9 * static_cast<double>(plan.untrimmed)},
            {"bytes", plan.cost.bytes()},
            {"activation_bytes", plan.cost.peak_bytes()},
            {"peak_gflops", peak},
            {"gflops", speed},
            {"share", speed / peak},
            {"operations", std::move(operations)}};
}

void measure_all(const Settings& settings) {
    const EngineKind engine = engine_kind_from_name(settings.engine, "--engine");
    const ModelDirectory directory(settings.model);
    if (settings.serve) {
        serve(directory, engine, std::cin, std::cout);
        return;
    }
    const kernels::Bandwidth memory = kernels::measured_bandwidth();
    const char* isa = kernels::name_of(kernels::current_isa());
    std::printf("%s, %s, %d threads; memory: %.1f GB/s read, %.1f written, %.1f copied\n\n",
                settings.engine.c_str(), isa, kernels::thread_count(), memory.read, memory.write,
                memory.copy);
    OrderedJson report = {
        {"isa", isa},
        {"threads", kernels::thread_count()},
        {"engine", settings.engine},
        {"memory", {{"read", memory.read}, {"write", memory.write}, {"copy", memory.copy}}},
        {"networks", OrderedJson::array()}};
    for (const std::string& component : all_networks) {
        const bool wanted =
            settings.only.empty() ||
            std::find(settings.only.begin(), settings.only.end(), component) != settings.only.end();
        if (wanted && directory.has(component))
            report["networks"].push_back(measure(directory, component, engine, settings));
    }
    std::printf("%s\n", effective_share_note);
    if (!settings.json.empty()) write_json(settings.json, report);
}

}  // namespace

int main(int argc, char** argv) try {
    CLI::App app("Speed of each network of a model beside the peak of this machine");
    Settings settings;
    app.add_option("MODEL", settings.model, "a model's folder, or its name in the hub's cache")
        ->required();
    app.add_option("--engine", settings.engine, "as for dalle2 generate")->capture_default_str();
    app.add_option("--only", settings.only, "these networks")->check(CLI::IsMember(all_networks));
    app.add_option("--batch", settings.size.batch,
                   "samples at once; 0: as one picture needs them, 2 for networks with guidance")
        ->check(CLI::Range(0, 1024))
        ->capture_default_str();
    app.add_option("--tokens", settings.size.tokens,
                   "text tokens; 0: all that the model has room for")
        ->check(CLI::Range(0, 4096))
        ->capture_default_str();
    app.add_flag("--whole", settings.size.whole,
                 "run a network with everything in one, not a step that has the text prepared");
    app.add_option("--runs", settings.runs, "runs that are measured, after one that is not")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    benchmark_options::add_threads(app, settings.threads);
    app.add_option("--json", settings.json, "also write the figures to this file");
    app.add_flag("--serve", settings.serve, "run what standard input asks for");
    CLI11_PARSE(app, argc, argv);
    const ThreadScope threads(settings.threads);
    measure_all(settings);
    return 0;
} catch (const std::exception& error) {
    std::cerr << "stages: " << error.what() << "\n";
    return 1;
}
