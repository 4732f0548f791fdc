// How weights enter and leave a module. A module names each of its parts once, in
//
//     template <class Self, class Visitor>
//     static void visit(Self& self, Visitor&& visitor) {
//         visitor("norm1", self.norm1);
//         visitor("resnets", self.resnets);   // a list: resnets.0, resnets.1, ...
//     }
//
// (static over Self, so that one definition serves const and mutable modules). A part is a
// parameter, another module, a vector of parts or an optional part. Loading, saving, counting,
// initialising and optimising are all loops over for_each_parameter.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <dalle2/core/array.hpp>
#include <dalle2/engine/concept.hpp>

namespace dalle2 {

namespace detail {

template <class Part>
concept IsParameter = requires(Part& part) {
    part.kind();
    part.shape();
};

template <class Part>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class Part>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

template <class Part, class Function>
void visit_part(const std::string& name, Part& part, Function& function) {
    using Plain = std::remove_const_t<Part>;
    if constexpr (IsParameter<Part>) {
        function(name, part);
    } else if constexpr (IsVector<Plain>::value) {
        for (std::size_t i = 0; i < part.size(); ++i)
            visit_part(name + "." + std::to_string(i), part[i], function);
    } else if constexpr (IsOptional<Plain>::value) {
        if (part) visit_part(name, *part, function);
    } else {
        Plain::visit(part, [&](const std::string& child, auto& child_part) {
            visit_part(name.empty() ? child : name + "." + child, child_part, function);
        });
    }
}

}  // namespace detail

// Calls function(name, parameter) for each parameter of `module`, in the order in which the
// module names them; `name` is the full dotted name of the checkpoint.
template <class Module, class Function>
void for_each_parameter(Module& module, Function&& function, const std::string& prefix = "") {
    detail::visit_part(prefix, module, function);
}

// The number of trained values in a module.
template <class Module>
std::int64_t parameter_count(const Module& module) {
    std::int64_t count = 0;
    for_each_parameter(module, [&](const std::string&, const auto& parameter) {
        count += element_count(parameter.shape());
    });
    return count;
}

}  // namespace dalle2
