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
#include <string_view>
#include <type_traits>
#include <utility>
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

// The parameters of a module: its engine's. A parameter may be walked through as well.
template <class Module>
struct ParameterOf : std::type_identity<Module> {};
template <template <class> class Module, class E>
    requires(!IsParameter<Module<E>>)
struct ParameterOf<Module<E>> : std::type_identity<typename E::Parameter> {};

// The visitor that walks through a module. It is the same for everything that may be done with the
// parameters, so that each module's `visit` is compiled once for each engine.
template <class Parameter>
class ParameterWalk {
public:
    template <class Function>
    ParameterWalk(const std::string& prefix, const Function& function)
        : name_(prefix),
          function_(&function),
          call_([](const void* f, const std::string& name, Parameter& parameter) {
              (*static_cast<const Function*>(f))(name, parameter);
          }) {}

    template <class Part>
    void operator()(std::string_view child, Part& part) {
        const std::size_t length = enter(child);
        walk(part);
        name_.resize(length);
    }

    template <class Part>
    void walk(Part& part) {
        if constexpr (IsParameter<Part>) {
            call_(function_, name_, part);
        } else if constexpr (IsVector<Part>::value) {
            for (std::size_t i = 0; i < part.size(); ++i) (*this)(std::to_string(i), part[i]);
        } else if constexpr (IsOptional<Part>::value) {
            if (part) walk(*part);
        } else {
            Part::visit(part, *this);
        }
    }

private:
    std::size_t enter(std::string_view child) {
        const std::size_t length = name_.size();
        if (length > 0) name_ += '.';
        name_ += child;
        return length;
    }

    std::string name_;
    const void* function_;
    void (*call_)(const void*, const std::string&, Parameter&);
};

}  // namespace detail

// Calls function(name, parameter) for each parameter of `module`, in the order in which the
// module names them; `name` is the full dotted name of the checkpoint.
template <class Module, class Function>
void for_each_parameter(Module& module, Function&& function, const std::string& prefix = "") {
    using Plain = std::remove_const_t<Module>;
    using Parameter = typename detail::ParameterOf<Plain>::type;
    // A constant module is walked through by the same code; its parameters arrive constant again.
    const auto call = [&](const std::string& name, Parameter& parameter) {
        if constexpr (std::is_const_v<Module>)
            function(name, std::as_const(parameter));
        else
            function(name, parameter);
    };
    detail::ParameterWalk<Parameter>(prefix, call).walk(const_cast<Plain&>(module));
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
