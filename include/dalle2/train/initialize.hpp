// Values that training starts from.
#pragma once

#include <cmath>
#include <functional>
#include <string>

#include <dalle2/core/random.hpp>
#include <dalle2/nn/visit.hpp>

namespace dalle2 {

namespace detail {

// FNV-1a: gives each parameter its own stream of random numbers, whatever else a model contains.
inline std::uint64_t name_hash(const std::string& name) {
    std::uint64_t hash = 14695981039346656037u;
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    return hash;
}

inline bool ends_with(const std::string& text, const std::string& ending) {
    return text.size() >= ending.size() &&
           text.compare(text.size() - ending.size(), ending.size(), ending) == 0;
}

}  // namespace detail

// Weights: normal with deviation 1/√(fan in), which keeps the size of activations; biases 0, scales
// of norms 1, tables and free tensors normal with deviation 0.02. `zeroed(name)` chooses weights
// that start at zero: the last of each residual branch, so that a deep model starts as its
// shortcut.
template <class E, class Module>
void initialize(Module& module, std::uint64_t seed,
                const std::function<bool(const std::string&)>& zeroed = nullptr) {
    for_each_parameter(module, [&](const std::string& name, typename E::Parameter& parameter) {
        const Shape& shape = parameter.shape();
        const ParameterKind kind = parameter.kind();
        Array values = make_array(shape);
        if (kind == ParameterKind::vector) {
            if (detail::ends_with(name, "weight")) values.fill(1.0f);
        } else if (!(zeroed && zeroed(name))) {
            const bool multiplied =
                kind == ParameterKind::matrix || kind == ParameterKind::convolution;
            const double deviation =
                multiplied ? 1.0 / std::sqrt(static_cast<double>(element_count(shape) / shape[0]))
                           : 0.02;
            CounterGenerator(seed, detail::name_hash(name))
                .normal(0, {values.data(), values.size()});
            values *= static_cast<float>(deviation);
        }
        E::load(parameter, values);
    });
}

}  // namespace dalle2
