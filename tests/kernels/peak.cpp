// What the processor could do at most: that it is a number, and what its loops count.
#include <cmath>

#include <dalle2/kernels/peak.hpp>

#include "support.hpp"

using namespace kernel_tests;
namespace kernels = dalle2::kernels;
using kernels::Isa;

TEST_CASE("a peak is a positive number for every instruction set and type of numbers") {
    for_each_isa([] {
        for (const double peak :
             {kernels::measured_peak(false, 1e-3), kernels::measured_peak(true, 1e-3),
              kernels::measured_int8_peak(1e-3)}) {
            CHECK(peak > 0);
            CHECK(std::isfinite(peak));
        }
    });
}

TEST_CASE("a loop counts two operations for each product that its instructions make") {
    const auto products = [](const kernels::detail::PeakLoop& loop) {
        return loop.operations / 2 / kernels::detail::peak_sums;
    };
    const auto check = [&](Isa isa, double floats, double pairs, double bytes) {
        CAPTURE(kernels::name_of(isa));
        CHECK(products(kernels::detail::peak_loop(isa, false)) == floats);
        CHECK(products(kernels::detail::peak_loop(isa, true)) == pairs);
        CHECK(products(kernels::detail::peak_loop_of_bytes(isa)) == bytes);
    };
    check(Isa::portable, 4, 4, 4);
#if DALLE2_X86
    check(Isa::avx2, 8, 8, 16);
    check(Isa::avx2_vnni, 8, 8, 32);
    check(Isa::avx512, 16, 16, 32);
    check(Isa::avx512_vnni, 16, 16, 64);
    check(Isa::avx512_bf16, 16, 32, 64);
    const double tiles = 4.0 / kernels::detail::peak_sums;  // so many sums each instruction makes
    check(Isa::amx, 16, tiles * 16 * 16 * 32, tiles * 16 * 16 * 64);
#endif
}
