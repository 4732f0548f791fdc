// The engines that generation can run on, chosen at run time.
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include <dalle2/core/error.hpp>
#include <dalle2/kernels/isa.hpp>

namespace dalle2 {

// Reference, Cpu<float>, Cpu<bfloat16> or Cpu<std::int8_t>.
enum class EngineKind { reference, cpu_float, cpu_bfloat16, cpu_int8 };

// As the command line names them, in the order of EngineKind.
inline constexpr std::array<const char*, 4> engine_names = {"reference", "float32", "bfloat16",
                                                            "int8"};

inline std::string to_string(EngineKind kind) {
    return engine_names.at(static_cast<std::size_t>(kind));
}

// Throws ConfigError, naming `where`, for an engine that there is not.
inline EngineKind engine_kind_from_name(const std::string& name, const std::string& where) {
    std::string supported;
    for (std::size_t i = 0; i < engine_names.size(); ++i) {
        if (name == engine_names[i]) return static_cast<EngineKind>(i);
        supported += (i > 0 ? ", \"" : "\"") + std::string(engine_names[i]) + "\"";
    }
    throw ConfigError(where + ": engine \"" + name + "\" is not supported; supported are " +
                      supported);
}

// bfloat16 where the processor has instructions for it, otherwise float32.
inline EngineKind fastest_engine() {
    return kernels::current_isa() >= kernels::Isa::avx512_bf16 ? EngineKind::cpu_bfloat16
                                                               : EngineKind::cpu_float;
}

}  // namespace dalle2
