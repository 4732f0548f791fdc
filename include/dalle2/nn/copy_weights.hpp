// The same weights in a module of another engine.
#pragma once

#include <map>
#include <string>

#include <dalle2/nn/visit.hpp>

namespace dalle2 {

// Gives each parameter of `to` the values of the parameter of the same name in `from`; both must be
// made from the same config. Throws ShapeError when they are not.
template <template <Engine> class Module, Engine From, Engine To>
void copy_weights(const Module<From>& from, Module<To>& to) {
    std::map<std::string, Array> values;
    for_each_parameter(from, [&](const std::string& name, const auto& parameter) {
        values[name] = From::store(parameter);
    });
    for_each_parameter(to, [&](const std::string& name, auto& parameter) {
        const auto found = values.find(name);
        if (found == values.end()) throw ShapeError("no weights for the parameter " + name);
        To::load(parameter, found->second);
    });
}

}  // namespace dalle2
