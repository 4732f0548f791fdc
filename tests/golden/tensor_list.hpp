// A network's tensors, their names and shapes, as a count and a hash: what make_golden.py and
// make_clip.py keep of the reference's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include <dalle2/nn/visit.hpp>

#include "deterministic.hpp"

namespace golden {

struct TensorList {
    std::size_t count;
    std::string hash;
};

template <class Module>
TensorList tensor_list(const Module& module) {
    std::vector<std::string> lines;  // "name<tab>2x3x4"
    dalle2::for_each_parameter(module, [&](const std::string& name, const auto& parameter) {
        std::string shape;
        for (const std::int64_t extent : parameter.shape())
            shape += (shape.empty() ? "" : "x") + std::to_string(extent);
        lines.push_back(name + "\t" + shape + "\n");
    });
    std::sort(lines.begin(), lines.end());
    std::string all;
    for (const std::string& line : lines) all += line;
    char hash[17];
    std::snprintf(hash, sizeof hash, "%016llx", static_cast<unsigned long long>(name_hash(all)));
    return {lines.size(), hash};
}

}  // namespace golden
