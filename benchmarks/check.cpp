// Has something become slower? Compares the ratios in other benchmarks' JSON with a stored table,
// in its section for the instruction set and the number of threads that they were measured with.
//
//     check targets.json kernels.json stages.json training.json comparison.json
//     check kernels.json --update      stores what was found as what is expected from now on
//
// Ends with 0 when nothing is below its margin, 1 when something is, or when a benchmark found a
// wrong output or failed, 2 when a file cannot be read, 3 when the table has no section for what
// was measured.
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
           "what kernels, stages, training, compare_pytorch.py or targets.sh wrote with --json; of "
           "several runs the best of each ratio counts")
        ->required();
    app.add_option("--expected", table_file, "the table")->capture_default_str();
    app.add_flag("--update", update, "store what was found in the table, and compare nothing");
    CLI11_PARSE(app, argc, argv);

    Found all;
    for (const std::string& report : reports) add_report(dalle2::read_json(report), report, all);
    for (const auto& [name, reason] : all.failures)
        std::printf("wrong   %s: %s\n", name.c_str(), reason.c_str());
    const bool is_new = !std::filesystem::exists(table_file);
    if (is_new && !update)
        throw dalle2::IoError(table_file + ": there is no table yet; --update makes it");
    const Json table = is_new ? Json{{"margin", 0.15}, {"sections", Json::object()}}
                              : dalle2::read_json(table_file);
    const Table expected = read_table(table, table_file);
    if (update) {
        dalle2::write_json(table_file, updated(table, all.sections));
        for (const auto& [section, found] : all.sections)
            std::printf("%s: %zu ratios stored for %s\n", table_file.c_str(), found.size(),
                        section.c_str());
        return all.failures.empty() ? 0 : 1;
    }
    bool slower = false, unknown = false;
    for (const auto& [section, found] : all.sections) {
        const auto entry = expected.find(section);
        if (entry == expected.end()) {
            std::string others;
            for (const auto& [name, ratios] : expected)
                others += (others.empty() ? "" : ", ") + name;
            std::printf(
                "%s: %zu ratios compared with nothing: %s has no such section, it has %s; "
                "--update makes one\n",
                section.c_str(), found.size(), table_file.c_str(),
                others.empty() ? "none" : others.c_str());
            unknown = true;
            continue;
        }
        const Comparison result = compare(found, entry->second);
        for (const std::string& name : result.slower)
            std::printf("slower  %s: %.3f, expected %.3f, at least %.3f\n", name.c_str(),
                        found.at(name), entry->second.at(name).value,
                        entry->second.at(name).least());
        for (const std::string& name : result.unknown)
            std::printf("new     %s: %.3f, not in the table\n", name.c_str(), found.at(name));
        std::printf("%s: %zu as expected, %zu slower, %zu not in the table, %zu not measured\n",
                    section.c_str(), result.good.size(), result.slower.size(),
                    result.unknown.size(), result.missing.size());
        slower = slower || !result.slower.empty();
    }
    if (!all.failures.empty()) std::printf("%zu wrong\n", all.failures.size());
    return slower || !all.failures.empty() ? 1 : unknown ? 3 : 0;
} catch (const std::exception& error) {
    std::cerr << "check: " << error.what() << "\n";
    return 2;
}
