// Which instruction set the kernels run: the best that the processor has, unless told otherwise.
#pragma once

#include <cassert>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include <dalle2/core/error.hpp>

// Set where the compiler can build functions for other x86 instruction sets than the one it was
// told.
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define DALLE2_X86 1
#else
#define DALLE2_X86 0
#endif

#if DALLE2_X86
#include <cpuid.h>
#if defined(__linux__)
#include <unistd.h>
#include <sys/syscall.h>
#endif
#endif

namespace dalle2::kernels {

enum class Isa {
    portable,
    avx2,         // with FMA
    avx2_vnni,    // with dot products of bytes
    avx512,       // F, BW, DQ, VL
    avx512_vnni,  // with dot products of bytes
    avx512_bf16,  // with dot products of bytes and of bfloat16 pairs
    amx,          // with matrix products of both (Intel's AMX-INT8 and AMX-BF16)
};

inline constexpr Isa all_isas[] = {Isa::portable,    Isa::avx2,        Isa::avx2_vnni, Isa::avx512,
                                   Isa::avx512_vnni, Isa::avx512_bf16, Isa::amx};

// Beside a matrix unit, results of more bytes go to memory past the caches. (There it was measured
// to be faster; other processors keep all.)
inline constexpr std::int64_t kept_bytes = 8 << 20;

inline const char* name_of(Isa isa) {
    switch (isa) {
        case Isa::portable: return "portable";
        case Isa::avx2: return "avx2";
        case Isa::avx2_vnni: return "avx2_vnni";
        case Isa::avx512: return "avx512";
        case Isa::avx512_vnni: return "avx512_vnni";
        case Isa::avx512_bf16: return "avx512_bf16";
        case Isa::amx: return "amx";
    }
    return "unknown";
}

#if DALLE2_X86
namespace detail {

// AVX-VNNI: leaf 7, subleaf 1, bit 4 of eax. (clang 16 does not know its name.)
inline bool has_avx_vnni() {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax >> 4 & 1) != 0;
}

// AMX-BF16, AMX-TILE and AMX-INT8: leaf 7, bits 22, 24 and 25 of edx. A process has to ask Linux
// for the registers, once for all its threads; other systems are not asked. (From then on signal
// handlers that have a stack of their own need one of more than 11 KB.)
inline bool has_amx() {
#if defined(__linux__)
    static const bool has = [] {
        unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
        constexpr unsigned wanted = 1u << 22 | 1u << 24 | 1u << 25;
        if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || (edx & wanted) != wanted)
            return false;
        constexpr long request_permission = 0x1023, tile_data = 18;  // of arch_prctl
        return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
    }();
    return has;
#else
    return false;
#endif
}

}  // namespace detail
#endif

// Whether this processor, its operating system and this build can run it.
inline bool available(Isa isa) {
#if DALLE2_X86
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl");
    const bool avx512_vnni = avx512 && __builtin_cpu_supports("avx512vnni");
    const bool avx512_bf16 = avx512_vnni && __builtin_cpu_supports("avx512bf16");
    switch (isa) {
        case Isa::portable: return true;
        case Isa::avx2: return avx2;
        case Isa::avx2_vnni: return avx2 && detail::has_avx_vnni();
        case Isa::avx512: return avx512;
        case Isa::avx512_vnni: return avx512_vnni;
        case Isa::avx512_bf16: return avx512_bf16;
        case Isa::amx: return avx512_bf16 && detail::has_amx();
    }
#endif
    return isa == Isa::portable;
}

inline Isa best_isa() {
    Isa best = Isa::portable;
    for (Isa isa : all_isas)
        if (available(isa)) best = isa;
    return best;
}

// The instruction set called `name`; `where` goes into the error. Throws ConfigError for a name
// that is unknown or that this processor cannot run. (What it can run may be given, to see what
// another processor would say.)
inline Isa isa_from_name(std::string_view name, const std::string& where,
                         bool (*can_run)(Isa) = available) {
    std::string runnable;
    bool known = false;
    for (Isa isa : all_isas) {
        known = known || name == name_of(isa);
        if (!can_run(isa)) continue;
        if (name == name_of(isa)) return isa;
        runnable += std::string(runnable.empty() ? "" : ", ") + name_of(isa);
    }
    throw ConfigError(where + ": instruction set \"" + std::string(name) + "\" is " +
                      (known ? "not available on" : "unknown to") + " this processor; it can run " +
                      runnable);
}

namespace detail {

inline std::optional<Isa>& forced_isa() {
    static thread_local std::optional<Isa> isa;
    return isa;
}

}  // namespace detail

// What kernels called from this thread run: a ForcedIsa in scope, else the environment's DALLE2_ISA
// (ConfigError when its value cannot be had), else the best there is.
inline Isa current_isa() {
    if (detail::forced_isa()) return *detail::forced_isa();
    static const Isa chosen = [] {
        const char* name = std::getenv("DALLE2_ISA");
        return name && *name ? isa_from_name(name, "environment variable DALLE2_ISA") : best_isa();
    }();
    return chosen;
}

// Makes kernels called from this thread run `isa` while it lives; isa must be available.
class ForcedIsa {
public:
    explicit ForcedIsa(Isa isa) : before_(detail::forced_isa()) {
        assert(available(isa));
        detail::forced_isa() = isa;
    }
    ~ForcedIsa() { detail::forced_isa() = before_; }
    ForcedIsa(const ForcedIsa&) = delete;
    ForcedIsa& operator=(const ForcedIsa&) = delete;

private:
    std::optional<Isa> before_;
};

}  // namespace dalle2::kernels
