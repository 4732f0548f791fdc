#include <dalle2/engine/engine_peak.hpp>

#include <cmath>

#include <doctest/doctest.h>

using namespace dalle2;

TEST_CASE("every engine has a peak, and it is a number") {
    for (const EngineKind engine : {EngineKind::reference, EngineKind::cpu_float,
                                    EngineKind::cpu_bfloat16, EngineKind::cpu_int8}) {
        const double peak = measured_engine_peak(engine, 1e-3);
        CHECK(peak > 0);
        CHECK(std::isfinite(peak));
    }
}
