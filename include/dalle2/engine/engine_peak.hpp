// The most that this machine could do at the products of an engine.
#pragma once

#include <dalle2/engine/engine_kind.hpp>
#include <dalle2/kernels/peak.hpp>

namespace dalle2 {

// In GFLOP/s, of as many threads as a parallel loop started here would use; measured now, in about
// so many seconds.
inline double measured_engine_peak(EngineKind engine, double seconds = 0.1) {
    switch (engine) {
        case EngineKind::cpu_bfloat16: return kernels::measured_peak(true, seconds);
        case EngineKind::cpu_int8: return kernels::measured_int8_peak(seconds);
        case EngineKind::reference:
        case EngineKind::cpu_float: break;
    }
    return kernels::measured_peak(false, seconds);
}

}  // namespace dalle2
