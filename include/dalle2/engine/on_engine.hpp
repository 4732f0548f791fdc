// From an engine's kind, known at run time, to its type.
#pragma once

#include <type_traits>

#include <dalle2/core/bfloat16.hpp>
#include <dalle2/engine/cpu.hpp>
#include <dalle2/engine/cpu_int8.hpp>
#include <dalle2/engine/engine_kind.hpp>
#include <dalle2/engine/reference.hpp>

namespace dalle2 {

// Calls function(std::type_identity<E>{}) with the engine of that kind.
template <class Function>
auto on_engine(EngineKind kind, Function&& function) {
    switch (kind) {
        case EngineKind::reference: return function(std::type_identity<Reference>{});
        case EngineKind::cpu_float: return function(std::type_identity<Cpu<float>>{});
        case EngineKind::cpu_int8: return function(std::type_identity<Cpu<std::int8_t>>{});
        case EngineKind::cpu_bfloat16: break;
    }
    return function(std::type_identity<Cpu<bfloat16>>{});
}

}  // namespace dalle2
