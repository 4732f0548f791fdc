// Has something become slower? Compares the ratios in other benchmarks' JSON with a stored table.
//
//     check targets.json kernels.json stages.json comparison.json
//     check kernels.json --update      stores what was found as what is expected from now on
//
// Ends with 0 when nothing is below its margin, 1 when something is, or when a benchmark found a
// wrong output or failed, 2 when a file cannot be read.
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <dalle2/io/json.hpp>

#include "check/ratios.hpp"

int main(int argc, char** argv) try {
    using namespace check_benchmark;
    CLI::App app("Compares the ratios in benchmarks' JSON with a stored table");
    std::vector<std::string> reports;
    std::string table_file = DALLE2_SOURCE_DIR "/benchmarks/expected.json";
    bool update = false;
    app.add_option(
           "REPORT", reports,
           "what kernels, stages, compare_pytorch.py or targets.sh wrote with --json; of several "
           "runs the best of each ratio counts")
        ->required();
    app.add_option("--expected", table_file, "the table")->capture_default_str();
    app.add_flag("--update", update, "store what was found in the table, and compare nothing");
    CLI11_PARSE(app, argc, argv);

    Found all;
    for (const std::string& report : reports) add_report(dalle2::read_json(report), report, all);
    Ratios& found = all.ratios;
    for (const auto& [name, reason] : all.failures)
        std::printf("wrong   %s: %s\n", name.c_str(), reason.c_str());
    const bool is_new = !std::filesystem::exists(table_file);
    if (is_new && !update)
        throw dalle2::IoError(table_file + ": there is no table yet; --update makes it");
    const Json table =
        is_new ? Json{{"margin", 0.15}, {"ratios", Json::object()}} : dalle2::read_json(table_file);
    const auto expected = read_table(table, table_file);
    if (update) {
        dalle2::write_json(table_file, updated(table, found));
        std::printf("%s: %zu ratios stored\n", table_file.c_str(), found.size());
        return all.failures.empty() ? 0 : 1;
    }
    const Comparison result = compare(found, expected);
    for (const std::string& name : result.slower)
        std::printf("slower  %s: %.3f, expected %.3f, at least %.3f\n", name.c_str(), found[name],
                    expected.at(name).value, expected.at(name).least());
    for (const std::string& name : result.unknown)
        std::printf("new     %s: %.3f, not in the table\n", name.c_str(), found[name]);
    std::printf("%zu as expected, %zu slower, %zu wrong, %zu not in the table, %zu not measured\n",
                result.good.size(), result.slower.size(), all.failures.size(),
                result.unknown.size(), result.missing.size());
    return result.slower.empty() && all.failures.empty() ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << "check: " << error.what() << "\n";
    return 2;
}
