// The engines that generation can run on, chosen at run time.
#pragma once

#include <string>

#include <dalle2/core/error.hpp>
#include <dalle2/kernels/isa.hpp>

namespace dalle2 {

// Reference, Cpu<float>, Cpu<bfloat16> or Cpu<std::int8_t>.
enum class EngineKind { reference, cpu_float, cpu_bfloat16, cpu_int8 };

inline std::string to_string(EngineKind kind) {
    switch (kind) {
        case EngineKind::reference: return "reference";
        case EngineKind::cpu_float: return "float32";
        case EngineKind::cpu_bfloat16: return "bfloat16";
        case EngineKind::cpu_int8: return "int8";
    }
    return "unknown";
}

// Throws ConfigError, naming `where`, for an engine that there is not.
inline EngineKind engine_kind_from_name(const std::string& name, const std::string& where) {
    for (const EngineKind kind : {EngineKind::reference, EngineKind::cpu_float,
                                  EngineKind::cpu_bfloat16, EngineKind::cpu_int8})
        if (name == to_string(kind)) return kind;
    throw ConfigError(where + ": engine \"" + name +
                      "\" is not supported; supported are \"reference\", \"float32\", "
                      "\"bfloat16\" and \"int8\"");
}

// bfloat16 where the processor multiplies it faster than float, otherwise float32.
inline EngineKind fastest_engine() {
    return kernels::current_isa() == kernels::Isa::avx512_bf16 ? EngineKind::cpu_bfloat16
                                                               : EngineKind::cpu_float;
}

}  // namespace dalle2
