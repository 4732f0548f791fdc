#include <doctest/doctest.h>

#include <dalle2/kernels/bandwidth.hpp>

using namespace dalle2;

TEST_CASE("memory is read, written and copied at speeds that a memory can have") {
    const kernels::Bandwidth found = kernels::measured_bandwidth(1 << 22, 0.003);
    for (const double speed : {found.read, found.write, found.copy}) {
        // In GB/s, so that another unit is not among them.
        CHECK(speed > 0.02);
        CHECK(speed < 5e3);
    }
}
