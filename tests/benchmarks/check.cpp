// What benchmarks/check takes for a regression, with made-up figures.
#include <doctest/doctest.h>

#include <limits>

#include "../../benchmarks/check/ratios.hpp"

using namespace check_benchmark;

namespace {

using Names = std::vector<std::string>;

Found found_in(const char* text) {
    Found found;
    add_report(dalle2::parse_json(text, "made up"), "made up", found);
    return found;
}
Ratios ratios_of(const char* text) { return found_in(text).ratios; }

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
    CHECK(ratios_of(R"({"targets": {
        "decoder_peak_share": {"figure": 0.8, "better": "more", "met": true},
        "prior_peak_share": {"figure": 0.7, "better": "more", "met": false},
        "compile_seconds": {"figure": 15, "better": "less", "met": true},
        "training_vs_pytorch": {"figure": null, "better": "more", "met": null,
                                "reason": "no PyTorch"}}})") ==
          Ratios{{"targets/decoder_peak_share", 0.8}, {"targets/prior_peak_share", 0.7}});
}

TEST_CASE("a wrong output and a benchmark that failed are told, and no ratio counts for them") {
    const Found compared = found_in(R"({"cases": [
        {"case": "prior", "precision": "int8", "agree": false, "wrong": "far off",
         "vs_pytorch": {"median": 9}, "contenders": {"openvino": {"ratio": {"median": 9}}}},
        {"case": "super_res_first", "precision": "int8", "broke_off": "signal 9"},
        {"case": "decoder", "precision": "int8", "agree": true, "vs_pytorch": {"median": 2}}]})");
    CHECK(compared.failures == Failures{{"compare/int8/prior", "far off"},
                                        {"compare/int8/super_res_first", "broke off: signal 9"}});
    CHECK(compared.ratios == Ratios{{"compare/int8/decoder/pytorch", 2}});

    const Found targets = found_in(R"({"targets": {
        "karlo": {"figure": 3, "better": "more", "met": false, "reason": "wrong output"},
        "shipped_seconds": {"figure": null, "better": "less", "met": false, "reason": "it crashed"},
        "compile_seconds": {"figure": 25, "better": "less", "met": false},
        "clip": {"figure": null, "better": "more", "met": null, "reason": "no PyTorch"}}})");
    CHECK(targets.failures ==
          Failures{{"targets/karlo", "wrong output"}, {"targets/shipped_seconds", "it crashed"}});
    CHECK(targets.ratios.empty());
}

TEST_CASE("of several runs the best of each ratio counts") {
    Found all;
    for (const char* report :
         {R"({"layers": [{"layer": "a", "scalar": "float32", "forward": {"share": 0.5}}]})",
          R"({"layers": [{"layer": "a", "scalar": "float32", "forward": {"share": 0.9}}]})",
          R"({"layers": [{"layer": "a", "scalar": "float32", "forward": {"share": 0.7}}]})"})
        add_report(dalle2::parse_json(report, "made up"), "made up", all);
    CHECK(all.ratios == Ratios{{"kernels/float32/a/forward", 0.9}});
}

TEST_CASE("a ratio below its margin is slower; others are as expected, new, or missing") {
    const auto table = read_table(dalle2::parse_json(R"({"margin": 0.1, "ratios": {
        "just right": 1.0, "slow": 1.0, "wide": {"value": 2.0, "margin": 0.5}, "absent": 3}})",
                                                     "table"),
                                  "table");
    const Comparison result =
        compare({{"just right", 0.901}, {"slow", 0.899}, {"wide", 1.01}, {"fresh", 7}}, table);
    CHECK(result.good == Names{"just right", "wide"});
    CHECK(result.slower == Names{"slow"});
    CHECK(result.unknown == Names{"fresh"});
    CHECK(result.missing == Names{"absent"});
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK(compare({{"slow", nan}}, table).slower == Names{"slow"});
}

TEST_CASE("an updated table keeps its margins and what was not measured") {
    const Json before = dalle2::parse_json(
        R"({"margin": 0.1, "ratios": {"a": 1, "b": {"value": 2, "margin": 0.5}, "c": 3}})",
        "table");
    const Json after = updated(before, {{"b", 4.00049}, {"d", 5}});
    CHECK(after == dalle2::parse_json(R"({"margin": 0.1, "ratios": {
        "a": 1, "b": {"value": 4.0, "margin": 0.5}, "c": 3, "d": 5.0}})",
                                      "table"));
}

TEST_CASE("files that are none of a benchmark are errors that name them") {
    CHECK_THROWS_WITH_AS(ratios_of(R"({"pictures": []})"),
                         doctest::Contains("made up is not the JSON of a benchmark"), FormatError);
    CHECK_THROWS_WITH_AS(ratios_of(R"({"layers": [{"layer": 3, "forward": {"share": 1}}]})"),
                         doctest::Contains("made up is not as a benchmark writes it"), FormatError);
    CHECK_THROWS_AS(read_table(dalle2::parse_json(R"({"ratios": {}})", "t"), "t"), FormatError);
    CHECK_THROWS_WITH_AS(
        read_table(dalle2::parse_json(R"({"margin": 2, "ratios": {"a": 1}})", "t"), "t"),
        doctest::Contains("expected 0 to less than 1"), FormatError);
}
