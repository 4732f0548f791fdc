// What benchmarks/check takes for a regression, with made-up figures.
#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include "../../benchmarks/check/ratios.hpp"

using namespace check_benchmark;

namespace {

using Names = std::vector<std::string>;

Found found_in(const char* text) {
    Found found;
    add_report(dalle2::parse_json(text, "made up"), "made up", found);
    return found;
}
// Of a report without what it was measured with, which is added.
Found found_with_isa(const char* text) {
    Json report = dalle2::parse_json(text, "made up");
    report["isa"] = "avx2";
    report["threads"] = 1;
    Found found;
    add_report(report, "made up", found);
    return found;
}
Ratios ratios_of(const char* text) {
    const Found found = found_with_isa(text);
    CHECK(found.sections.size() == 1);
    return found.sections.at("avx2/1");
}

}  // namespace

TEST_CASE("the ratios of each benchmark's JSON have names of their own") {
    CHECK(ratios_of(R"({"layers": [{"layer": "linear 1x2x3", "scalar": "float32", "set": "small",
                        "forward": {"gflops": 90, "share": 0.9},
                        "weight_gradient": {"gflops": 50, "share": 0.5}, "eigen_gflops": 20}]})") ==
          Ratios{{"kernels/float32/linear 1x2x3/forward", 0.9},
                 {"kernels/float32/linear 1x2x3/weight_gradient", 0.5}});
    CHECK(ratios_of(R"({"engine": "bfloat16",
                        "networks": [
            {"network": "decoder", "batch": 2, "tokens": 12, "whole": false, "share": 0.8},
            {"network": "decoder", "batch": 2, "tokens": 77, "whole": true, "share": 0.7},
            {"network": "image_encoder", "batch": 1, "tokens": 0, "whole": false, "share": 0.6}]})") ==
          Ratios{{"stages/bfloat16/decoder/2 samples, 12 tokens", 0.8},
                 {"stages/bfloat16/decoder/2 samples, 77 tokens, whole", 0.7},
                 {"stages/bfloat16/image_encoder/1 samples", 0.6}});
    CHECK(ratios_of(R"({"cases": [{"case": "prior", "precision": "float32",
                        "vs_pytorch": {"min": 1, "median": 2, "max": 3},
                        "contenders": {"dalle2": {"ratio": {"median": 1}},
                                       "openvino": {"ratio": {"median": 1.5}}}}]})") ==
          Ratios{{"compare/float32/prior/pytorch", 2}, {"compare/float32/prior/openvino", 1.5}});
    CHECK(ratios_of(R"({"tasks": {
        "decoder": {"rows": [{"name": "dalle2 float32", "share": 0.6},
                             {"name": "dalle2 bfloat16", "share": 0.4},
                             {"name": "PyTorch 2.9 eager float32", "share": 0.3}],
                    "vs_pytorch": {"min": 1.8, "median": 1.9, "max": 2}},
        "clip": {"rows": [{"name": "dalle2 float32", "share": 0.5}]}}})") ==
          Ratios{{"training/decoder/dalle2 float32", 0.6},
                 {"training/decoder/dalle2 bfloat16", 0.4},
                 {"training/decoder/pytorch", 1.9},
                 {"training/clip/dalle2 float32", 0.5}});
    CHECK(ratios_of(R"({"targets": {
        "decoder_peak_share": {"figure": 0.8, "better": "more", "met": true},
        "prior_peak_share": {"figure": 0.7, "better": "more", "met": false},
        "compile_seconds": {"figure": 15, "better": "less", "met": true},
        "training_vs_pytorch": {"figure": null, "better": "more", "met": null,
                                "reason": "no PyTorch"}}})") ==
          Ratios{{"targets/decoder_peak_share", 0.8}, {"targets/prior_peak_share", 0.7}});
}

TEST_CASE("a wrong output and a benchmark that failed are told, and no ratio counts for them") {
    const Found compared = found_with_isa(R"({"cases": [
        {"case": "prior", "precision": "int8", "agree": false, "wrong": "far off",
         "vs_pytorch": {"median": 9}, "contenders": {"openvino": {"ratio": {"median": 9}}}},
        {"case": "super_res_first", "precision": "int8", "broke_off": "signal 9"},
        {"case": "decoder", "precision": "int8", "agree": true, "vs_pytorch": {"median": 2}}]})");
    CHECK(compared.failures == Failures{{"compare/int8/prior", "far off"},
                                        {"compare/int8/super_res_first", "broke off: signal 9"}});
    CHECK(compared.sections == Sections{{"avx2/1", {{"compare/int8/decoder/pytorch", 2}}}});

    const Found targets = found_in(R"({"targets": {
        "karlo": {"figure": 3, "better": "more", "met": false, "reason": "wrong output"},
        "shipped_seconds": {"figure": null, "better": "less", "met": false, "reason": "it crashed"},
        "compile_seconds": {"figure": 25, "better": "less", "met": false},
        "clip": {"figure": null, "better": "more", "met": null, "reason": "no PyTorch"}}})");
    CHECK(targets.failures ==
          Failures{{"targets/karlo", "wrong output"}, {"targets/shipped_seconds", "it crashed"}});
    CHECK(targets.sections.empty());
}

TEST_CASE("of several runs with the same instructions and threads the best of each ratio counts") {
    Found all;
    const auto add = [&](const char* isa, int threads, double share) {
        add_report({{"isa", isa},
                    {"threads", threads},
                    {"layers",
                     {{{"layer", "a"}, {"scalar", "float32"}, {"forward", {{"share", share}}}}}}},
                   "made up", all);
    };
    for (const double share : {0.5, 0.9, 0.7}) add("avx2", 1, share);
    add("avx2", 16, 0.8);
    add("amx", 1, 0.4);
    const std::string name = "kernels/float32/a/forward";
    CHECK(all.sections == Sections{{"avx2/1", {{name, 0.9}}},
                                   {"avx2/16", {{name, 0.8}}},
                                   {"amx/1", {{name, 0.4}}}});
}

TEST_CASE("a ratio below its margin is slower; others are as expected, new, or missing") {
    const Table table = read_table(dalle2::parse_json(R"({"margin": 0.1, "sections": {
        "avx2/1": {"just right": 1.0, "slow": 1.0, "wide": {"value": 2.0, "margin": 0.5},
                   "absent": 3},
        "amx/2": {"slow": 0.5}}})",
                                                      "table"),
                                   "table");
    REQUIRE(table.size() == 2);
    const Expectations& avx2 = table.at("avx2/1");
    const Comparison result =
        compare({{"just right", 0.901}, {"slow", 0.899}, {"wide", 1.01}, {"fresh", 7}}, avx2);
    CHECK(result.good == Names{"just right", "wide"});
    CHECK(result.slower == Names{"slow"});
    CHECK(result.unknown == Names{"fresh"});
    CHECK(result.missing == Names{"absent"});
    CHECK(compare({{"slow", 0.899}}, table.at("amx/2")).good == Names{"slow"});
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK(compare({{"slow", nan}}, avx2).slower == Names{"slow"});
}

TEST_CASE("an updated table keeps its margins, what was not measured and other sections") {
    const Json before = dalle2::parse_json(
        R"({"margin": 0.1, "sections": {
            "avx2/1": {"a": 1, "b": {"value": 2, "margin": 0.5}, "c": 3}, "amx/2": {"b": 7}}})",
        "table");
    const Json after = updated(
        before, {{"avx2/1", {{"b", 4.00049}, {"d", 5}}}, {"avx512_bf16/16", {{"a", 0.25}}}});
    CHECK(after == dalle2::parse_json(R"({"margin": 0.1, "sections": {
        "avx2/1": {"a": 1, "b": {"value": 4.0, "margin": 0.5}, "c": 3, "d": 5.0},
        "amx/2": {"b": 7}, "avx512_bf16/16": {"a": 0.25}}})",
                                      "table"));
}

TEST_CASE("the table that comes with dalle2 is one, and has a section") {
    const std::string path = DALLE2_SOURCE_DIR "/benchmarks/expected.json";
    const Table table = read_table(dalle2::read_json(path), path);
    CHECK(table.at("avx2/1").size() > 100);
}

TEST_CASE("files that are none of a benchmark are errors that name them") {
    CHECK_THROWS_WITH_AS(ratios_of(R"({"pictures": []})"),
                         doctest::Contains("made up is not the JSON of a benchmark"), FormatError);
    CHECK_THROWS_WITH_AS(ratios_of(R"({"layers": [{"layer": 3, "forward": {"share": 1}}]})"),
                         doctest::Contains("made up is not as a benchmark writes it"), FormatError);
    // What it was measured with must be there.
    CHECK_THROWS_WITH_AS(found_in(R"({"threads": 1,
                     "layers": [{"layer": "a", "scalar": "int8", "forward": {"share": 1}}]})"),
                         doctest::Contains("made up is not as a benchmark writes it"), FormatError);
    CHECK_THROWS_AS(read_table(dalle2::parse_json(R"({"sections": {}})", "t"), "t"), FormatError);
    CHECK_THROWS_AS(read_table(dalle2::parse_json(R"({"margin": 0.1, "ratios": {}})", "t"), "t"),
                    FormatError);
    CHECK_THROWS_WITH_AS(
        read_table(dalle2::parse_json(R"({"margin": 2, "sections": {"amx/1": {"a": 1}}})", "t"),
                   "t"),
        doctest::Contains("expected 0 to less than 1"), FormatError);
}
