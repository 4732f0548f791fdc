// Networks that another program measures beside its own: it asks for one run at a time, so that
// both take turns on the same machine. Each request is a line of JSON on standard input, each
// answer a line on standard output:
//
//     {"machine": true}                                    {"isa": "avx2", "threads": 2}
//     {"load": "decoder"}                                  {"seconds": 1.2}
//     {"inputs": "in.safetensors", "steps": 25}            {"names": ["sample", ...],
//                                                           "seconds": 0.2}
//     {"run": 3}                                           {"seconds": [0.9, 0.9, 1.0],
//                                                           "processor_seconds": 5.6}
//     {"run": 3, "whole": true}      nothing prepared      the same
//     {"outputs": "out.safetensors"}                       {"names": ["output"]}
//     {"work": true}                 of one step           {"multiply_adds": {"conv2d": 7, ...}}
//     {"pipeline": true}                                   {"seconds": 4.5}
//     {"picture": "an owl", "seed": 7,
//      "noise": "bfloat16", "png": "owl.png"}              {"seconds": 0.1}
//
// A request that fails is answered with {"error": "..."}.
#pragma once

#include <iosfwd>

#include "network.hpp"

namespace stages_benchmark {

// Answers requests until they end.
void serve(const ModelDirectory& directory, EngineKind engine, std::istream& requests,
           std::ostream& answers);

}  // namespace stages_benchmark
