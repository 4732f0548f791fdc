// The ratios in a benchmark's JSON, and whether they are what a stored table expects.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/json.hpp>

namespace check_benchmark {

using dalle2::FormatError;
using dalle2::Json;
using dalle2::OrderedJson;

// By name; larger is better. Shares of a peak that the same run measured, and rivals' seconds
// divided by ours: what machines that differ and are shared have in common.
using Ratios = std::map<std::string, double>;

// By name, why: an output was wrong, or what should have been measured failed.
using Failures = std::map<std::string, std::string>;

// By what they were measured with, "avx2/1": the instruction set and the number of threads. Shares
// and ratios of different ones have little in common.
using Sections = std::map<std::string, Ratios>;

struct Found {
    Sections sections;
    Failures failures;
};

namespace detail {

inline std::string text(const Json& row, const char* key) { return row.at(key).get<std::string>(); }

inline void add_kernels(const Json& report, Ratios& ratios) {
    for (const Json& row : report.at("layers"))
        for (const auto& [pass, value] : row.items())
            if (value.is_object() && value.contains("share"))
                ratios["kernels/" + text(row, "scalar") + "/" + text(row, "layer") + "/" + pass] =
                    value["share"];
}

// "stages/bfloat16/decoder/2 samples, 77 tokens"
inline void add_stages(const Json& report, Ratios& ratios) {
    for (const Json& row : report.at("networks")) {
        std::string name = "stages/" + text(report, "engine") + "/" + text(row, "network") + "/" +
                           std::to_string(row.at("batch").get<int>()) + " samples";
        if (const int tokens = row.at("tokens"); tokens > 0)
            name += ", " + std::to_string(tokens) + " tokens";
        if (row.at("whole").get<bool>()) name += ", whole";
        ratios[name] = row.at("share");
    }
}

// How fast a wrong output comes says nothing.
inline void add_comparison(const Json& report, Ratios& ratios, Failures& failures) {
    for (const Json& row : report.at("cases")) {
        const std::string name = "compare/" + text(row, "precision") + "/" + text(row, "case");
        if (row.contains("broke_off")) {
            failures[name] = "broke off: " + text(row, "broke_off");
            continue;
        }
        if (!row.value("agree", true)) {
            failures[name] = row.value("wrong", "a case that it is made of is wrong");
            continue;
        }
        if (row.contains("vs_pytorch")) ratios[name + "/pytorch"] = row["vs_pytorch"].at("median");
        if (!row.contains("contenders")) continue;
        for (const std::string rival : {"openvino", "onnxruntime"})
            if (row["contenders"].contains(rival))
                ratios[name + "/" + rival] = row["contenders"][rival].at("ratio").at("median");
    }
}

// "training/decoder/dalle2 float32": the share of the peak. Rivals' shares are their own business.
inline void add_training(const Json& report, Ratios& ratios) {
    for (const auto& [task, entry] : report.at("tasks").items()) {
        for (const Json& row : entry.at("rows"))
            if (const std::string name = text(row, "name"); name.starts_with("dalle2"))
                ratios["training/" + task + "/" + name] = row.at("share");
        if (entry.contains("vs_pytorch"))
            ratios["training/" + task + "/pytorch"] = entry["vs_pytorch"].at("median");
    }
}

// Seconds and bytes, which should be small, are no ratios. A target that is missed for another
// reason than its figure has that written down.
inline void add_targets(const Json& report, Ratios& ratios, Failures& failures) {
    for (const auto& [name, row] : report.at("targets").items())
        if (row.at("met") == false && row.contains("reason"))
            failures["targets/" + name] = text(row, "reason");
        else if (row.at("figure").is_number() && row.at("better") == "more")
            ratios["targets/" + name] = row["figure"];
}

inline std::string section_of(const Json& report) {
    return text(report, "isa") + "/" + std::to_string(report.at("threads").get<int>());
}

}  // namespace detail

// Adds what is in the JSON of kernels, stages, training, compare_pytorch.py or targets.sh, which
// `path` names in errors. Of a ratio that is there already the larger one stays: on a busy machine
// the best of several runs says what the program can do. Throws FormatError for another file.
inline void add_report(const Json& report, const std::string& path, Found& all) {
    Ratios ratios;
    Failures failures;
    std::string section;
    try {
        if (report.contains("layers"))
            detail::add_kernels(report, ratios);
        else if (report.contains("networks"))
            detail::add_stages(report, ratios);
        else if (report.contains("tasks"))
            detail::add_training(report, ratios);
        else if (report.contains("cases"))
            detail::add_comparison(report, ratios, failures);
        else if (report.contains("targets"))
            detail::add_targets(report, ratios, failures);
        else
            throw FormatError(path +
                              " is not the JSON of a benchmark; expected \"layers\", "
                              "\"networks\", \"tasks\", \"cases\" or \"targets\" in it");
        if (!ratios.empty()) section = detail::section_of(report);
    } catch (const Json::exception& error) {
        throw FormatError(path + " is not as a benchmark writes it: " + error.what());
    }
    for (const auto& [name, ratio] : ratios) {
        const auto [at, is_new] = all.sections[section].emplace(name, ratio);
        if (!is_new) at->second = std::max(at->second, ratio);
    }
    all.failures.merge(failures);
}

struct Expectation {
    double value, margin;  // as much of the value may be missing, 0.15 of it for example

    double least() const { return value * (1 - margin); }
};

// By section, by name.
using Expectations = std::map<std::string, Expectation>;
using Table = std::map<std::string, Expectations>;

// A stored table: {"margin": 0.15, "sections": {"avx2/1": {NAME: 0.9, NAME: {"value": 0.9,
// "margin": 0.3}}}}. Throws FormatError.
inline Table read_table(const Json& table, const std::string& path) {
    try {
        Table expected;
        const double margin = table.at("margin");
        for (const auto& [section, entries] : table.at("sections").items())
            for (const auto& [name, entry] : entries.items()) {
                const Expectation one =
                    entry.is_object()
                        ? Expectation{entry.at("value"), entry.value("margin", margin)}
                        : Expectation{entry.get<double>(), margin};
                if (!(one.margin >= 0 && one.margin < 1))
                    throw FormatError(path + ": the margin of \"" + name + "\" of " + section +
                                      " is " + std::to_string(one.margin) +
                                      "; expected 0 to less than 1");
                expected[section][name] = one;
            }
        return expected;
    } catch (const Json::exception& error) {
        throw FormatError(path + " is not a table of expected ratios: " + error.what());
    }
}

// Of one section, names of what was found: below its margin, as expected or better, not in the
// table; and names of the table that were not measured.
struct Comparison {
    std::vector<std::string> slower, good, unknown, missing;
};

inline Comparison compare(const Ratios& found, const Expectations& expected) {
    Comparison result;
    for (const auto& [name, value] : found) {
        const auto entry = expected.find(name);
        if (entry == expected.end())
            result.unknown.push_back(name);
        else if (value >= entry->second.least())  // not so for NaN
            result.good.push_back(name);
        else
            result.slower.push_back(name);
    }
    for (const auto& [name, entry] : expected)
        if (!found.contains(name)) result.missing.push_back(name);
    return result;
}

// The table with what was found as what is expected; margins of its own, other names and other
// sections stay.
inline Json updated(Json table, const Sections& found) {
    for (const auto& [section, ratios] : found)
        for (const auto& [name, value] : ratios) {
            const double rounded = std::round(1000 * value) / 1000;
            Json& entry = table["sections"][section][name];
            if (entry.is_object())
                entry["value"] = rounded;
            else
                entry = rounded;
        }
    return table;
}

}  // namespace check_benchmark
