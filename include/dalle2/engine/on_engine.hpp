// From an engine's kind, known at run time, to its type.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <dalle2/core/bfloat16.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/engine/cpu.hpp>
#include <dalle2/engine/cpu_int8.hpp>
#include <dalle2/engine/engine_kind.hpp>
#include <dalle2/engine/reference.hpp>

namespace dalle2 {

// Which engines a program can choose from. Each costs the compilation of every model.
template <class... E>
struct EngineList {};

// What is compiled unless more is asked for; and all there are, with int8 and the textbook engine:
// dalle2::load<dalle2::AllEngines>(model, {.engine = dalle2::EngineKind::cpu_int8}).
using FastEngines = EngineList<Cpu<float>, Cpu<bfloat16>>;
using AllEngines = EngineList<Reference, Cpu<float>, Cpu<bfloat16>, Cpu<std::int8_t>>;

template <class E>
inline constexpr EngineKind kind_of_engine = EngineKind::reference;
template <>
inline constexpr EngineKind kind_of_engine<Cpu<float>> = EngineKind::cpu_float;
template <>
inline constexpr EngineKind kind_of_engine<Cpu<bfloat16>> = EngineKind::cpu_bfloat16;
template <>
inline constexpr EngineKind kind_of_engine<Cpu<std::int8_t>> = EngineKind::cpu_int8;

namespace detail {

template <class Result, class Function, class... E>
Result on_engine_of(EngineList<E...>, EngineKind kind, Function& function) {
    std::optional<Result> result;
    ((kind_of_engine<E> == kind ? void(result.emplace(function(std::type_identity<E>{}))) : void()),
     ...);
    if (!result)
        throw ConfigError("engine \"" + to_string(kind) +
                          "\" is not one of those that this program was compiled with:" +
                          ((" \"" + to_string(kind_of_engine<E>) + "\"") + ...) +
                          "; load<dalle2::AllEngines>() has them all");
    return std::move(*result);
}

template <class Function, class First, class... Others>
auto result_on(EngineList<First, Others...>, Function& function) {
    return std::type_identity<decltype(function(std::type_identity<First>{}))>{};
}

}  // namespace detail

// Calls function(std::type_identity<E>{}) with the engine of that kind. Throws ConfigError when it
// is not in the list.
template <class Engines = AllEngines, class Function>
auto on_engine(EngineKind kind, Function&& function) {
    using Result = typename decltype(detail::result_on(Engines{}, function))::type;
    return detail::on_engine_of<Result>(Engines{}, kind, function);
}

}  // namespace dalle2
