// Weights and inputs as a pure function of a name: deterministic.py in C++, bit for bit.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include <dalle2/core/array.hpp>
#include <dalle2/nn/visit.hpp>

namespace golden {

inline std::uint64_t name_hash(const std::string& name) {
    std::uint64_t value = 0xcbf29ce484222325u;
    for (const char c : name) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return value;
}

// Element `index` of the nearly normal numbers that belong to `hash`.
inline double normal(std::uint64_t hash, std::uint64_t index) {
    std::uint64_t z = hash + (index + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    std::int64_t total = -131070;
    for (int shift = 0; shift < 64; shift += 16)
        total += static_cast<std::int64_t>((z >> shift) & 0xffff);
    return static_cast<double>(total) / 37837.0;
}

// In the memory order of `shape`, which is the reference's (channels first).
inline dalle2::Array inputs(const std::string& name, const dalle2::Shape& shape) {
    dalle2::Array values = dalle2::make_array(shape);
    const std::uint64_t hash = name_hash(name);
    for (std::size_t i = 0; i < values.size(); ++i)
        values.data()[i] = static_cast<float>(normal(hash, i));
    return values;
}

inline dalle2::Array weights(const std::string& case_name, const std::string& tensor,
                             const dalle2::Shape& shape) {
    const auto ends_with = [&](const std::string& end) { return tensor.ends_with(end); };
    double offset = 0.0, scale = 0.5, divisor = 1.0;
    if (ends_with("clip_std") || (shape.size() == 1 && ends_with(".weight"))) {
        offset = 1.0;
        scale = 0.2;
    } else if (ends_with(".bias")) {
        scale = 0.1;
    } else if (ends_with(".weight") && !(shape.size() == 2 && ends_with("_embedding.weight"))) {
        scale = 1.0;
        divisor = std::sqrt(static_cast<double>(dalle2::element_count(shape) / shape[0]));
    }
    dalle2::Array values = dalle2::make_array(shape);
    const std::uint64_t hash = name_hash(case_name + ":" + tensor);
    for (std::size_t i = 0; i < values.size(); ++i)
        values.data()[i] = static_cast<float>(offset + scale * normal(hash, i) / divisor);
    return values;
}

// Loads every parameter of a module.
template <class E, class Module>
void fill(const std::string& case_name, Module& module) {
    dalle2::for_each_parameter(module, [&](const std::string& name, auto& parameter) {
        E::load(parameter, weights(case_name, name, parameter.shape()));
    });
}

}  // namespace golden
