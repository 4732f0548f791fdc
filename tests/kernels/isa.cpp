// The choice of the instruction set.
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
        CHECK(message.find("portable") != std::string::npos);
    }
    CHECK_THROWS_AS(kernels::isa_from_name("", "test"), dalle2::ConfigError);
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

TEST_CASE("each instruction set has kernels of its own") {
    kernels::ForcedIsa portable(Isa::portable);
    const auto slow = kernels::vector_kernels<float>().conv_task;
    for (Isa isa : {Isa::avx2, Isa::avx512}) {
        if (!kernels::available(isa)) continue;
        kernels::ForcedIsa forced(isa);
        const bool differs = kernels::vector_kernels<float>().conv_task != slow;
        CHECK(differs);
    }
    if (!kernels::available(Isa::avx512_bf16)) return;
    kernels::ForcedIsa avx512(Isa::avx512);
    const auto without = kernels::vector_kernels<bfloat16>().conv_task;
    kernels::ForcedIsa bf16(Isa::avx512_bf16);
    const bool differs = kernels::vector_kernels<bfloat16>().conv_task != without;
    CHECK(differs);
}
