// The choice of the instruction set.
#include <cstdint>
#include <string>
#include <type_traits>

#include <dalle2/kernels/isa.hpp>
#include <dalle2/kernels/kernels.hpp>

#include "support.hpp"

using namespace kernel_tests;
namespace kernels = dalle2::kernels;
using kernels::Isa;

TEST_CASE("portable code is always available, and the best choice is one that is") {
    CHECK(kernels::available(Isa::portable));
    CHECK(kernels::available(kernels::best_isa()));
}

TEST_CASE("a name finds its instruction set, and a wrong one says which there are") {
    for_each_isa([] {
        CHECK(kernels::isa_from_name(kernels::name_of(kernels::current_isa()), "test") ==
              kernels::current_isa());
    });
    try {
        kernels::isa_from_name("avx1024", "option --isa");
        FAIL("no error");
    } catch (const dalle2::ConfigError& error) {
        const std::string message = error.what();
        CHECK(message.find("option --isa") != std::string::npos);
        CHECK(message.find("avx1024") != std::string::npos);
        CHECK(message.find("unknown") != std::string::npos);
        CHECK(message.find("portable") != std::string::npos);
    }
    CHECK_THROWS_AS(kernels::isa_from_name("", "test"), dalle2::ConfigError);
}

TEST_CASE("an instruction set that the processor lacks is an error, and no other is taken") {
    const auto avx2_alone = [](Isa isa) { return isa == Isa::portable || isa == Isa::avx2; };
    CHECK(kernels::isa_from_name("avx2", "test", avx2_alone) == Isa::avx2);
    for (const Isa isa : kernels::all_isas) {
        if (avx2_alone(isa)) continue;
        const std::string name = kernels::name_of(isa);
        CHECK_THROWS_WITH_AS(kernels::isa_from_name(name, "environment", avx2_alone),
                             ("environment: instruction set \"" + name +
                              "\" is not available on this processor; it can run portable, avx2")
                                 .c_str(),
                             dalle2::ConfigError);
    }
}

TEST_CASE("a forced choice lasts as long as its scope, and scopes nest") {
    const Isa before = kernels::current_isa();
    {
        kernels::ForcedIsa outer(Isa::portable);
        CHECK(kernels::current_isa() == Isa::portable);
        {
            kernels::ForcedIsa inner(before);
            CHECK(kernels::current_isa() == before);
        }
        CHECK(kernels::current_isa() == Isa::portable);
    }
    CHECK(kernels::current_isa() == before);
}

namespace {

// The instruction set whose functions run where `isa` is asked for: an extension that a type of
// numbers does not use adds nothing.
template <class T>
Isa used(Isa isa) {
    if constexpr (std::is_same_v<T, std::int8_t>)
        return isa == Isa::avx512_bf16 ? Isa::avx512_vnni : isa;
    if (isa == Isa::amx) return std::is_same_v<T, float> ? Isa::avx512 : isa;
    if (isa == Isa::avx2_vnni) return Isa::avx2;
    if (isa == Isa::avx512_vnni) return Isa::avx512;
    return std::is_same_v<T, float> && isa == Isa::avx512_bf16 ? Isa::avx512 : isa;
}

}  // namespace

TEST_CASE_TEMPLATE("each instruction set has kernels of its own, where it makes a difference", T,
                   float, bfloat16, std::int8_t) {
    const auto task_of = [](Isa isa) {
        const kernels::ForcedIsa forced(isa);
        return kernels::vector_kernels<T>().conv_task;
    };
    for (const Isa a : kernels::all_isas)
        for (const Isa b : kernels::all_isas) {
            if (!kernels::available(a) || !kernels::available(b)) continue;
            CAPTURE(kernels::name_of(a));
            CAPTURE(kernels::name_of(b));
            const bool same = task_of(a) == task_of(b);
            CHECK(same == (used<T>(a) == used<T>(b)));
        }
}
