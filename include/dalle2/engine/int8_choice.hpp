// What a calibration found out about a network: see pipeline/calibrate_int8.hpp.
#pragma once

#include <cstdint>
#include <set>
#include <string>

namespace dalle2 {

struct Int8Choice {
    std::set<std::string> weights;  // those that become int8
    std::int64_t candidates = 0;    // weights that could
    double decibels = 0;            // of the output, with these weights in int8
    // In the measured runs, of layers that could be int8 and of those that are.
    double candidate_multiply_adds = 0, int8_multiply_adds = 0;
};

}  // namespace dalle2
