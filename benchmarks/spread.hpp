// Minimum, median and maximum of some measurements.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include <nlohmann/json.hpp>

namespace benchmark_figures {

struct Spread {
    double min = 0, median = 0, max = 0;

    // Of at least one value.
    explicit Spread(std::vector<double> values) {
        std::sort(values.begin(), values.end());
        const std::size_t middle = values.size() / 2;
        min = values.front(), max = values.back();
        median = values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
    }
    nlohmann::ordered_json json() const { return {{"min", min}, {"median", median}, {"max", max}}; }
};

}  // namespace benchmark_figures
