// A sampler whose kind is known at run time alone. The networks and the loop around them are
// compiled for this one type: another sampler costs the compiler no more than its own few lines.
#pragma once

#include <array>
#include <concepts>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <dalle2/diffusion/ddim_sampler.hpp>
#include <dalle2/diffusion/dpm_solver_sampler.hpp>
#include <dalle2/diffusion/euler_sampler.hpp>
#include <dalle2/diffusion/heun_sampler.hpp>
#include <dalle2/diffusion/unclip_sampler.hpp>

namespace dalle2 {

class AnySampler {
    using Kinds =
        std::variant<UnClipSampler, DdimSampler, DpmSolverSampler, EulerSampler, HeunSampler>;

public:
    explicit AnySampler(NoiseSchedule schedule) : sampler_(UnClipSampler(std::move(schedule))) {}
    template <class S>
        requires requires(const Kinds& kinds) { std::get_if<S>(&kinds); }
    AnySampler(S sampler) : sampler_(std::move(sampler)) {}

    const NoiseSchedule& schedule() const {
        return std::visit([](const auto& s) -> const NoiseSchedule& { return s.schedule(); },
                          sampler_);
    }
    std::vector<std::int64_t> timesteps(std::int64_t count) const {
        return std::visit([&](const auto& s) { return s.timesteps(count); }, sampler_);
    }
    bool draws_noise(std::int64_t timestep, std::int64_t previous) const {
        return std::visit([&](const auto& s) { return s.draws_noise(timestep, previous); },
                          sampler_);
    }
    void step(const SamplerStep& step, std::span<float> previous) {
        std::visit([&](auto& s) { s.step(step, previous); }, sampler_);
    }

private:
    Kinds sampler_;
};

static_assert(Sampler<AnySampler>);

enum class SamplerKind { unclip, ddim, dpm_solver, sde_dpm_solver, euler, euler_ancestral, heun };

// As the command line names them, in the order of SamplerKind.
inline constexpr std::array<const char*, 7> sampler_names = {
    "unclip", "ddim", "dpm++", "dpm++-sde", "euler", "euler-ancestral", "heun"};

inline std::string to_string(SamplerKind kind) {
    return sampler_names.at(static_cast<std::size_t>(kind));
}

// Throws ConfigError, naming `where`, for a sampler that there is not.
inline SamplerKind sampler_kind_from_name(const std::string& name, const std::string& where) {
    std::string supported;
    for (std::size_t i = 0; i < sampler_names.size(); ++i) {
        if (name == sampler_names[i]) return static_cast<SamplerKind>(i);
        supported += (i > 0 ? ", \"" : "\"") + std::string(sampler_names[i]) + "\"";
    }
    throw ConfigError(where + ": sampler \"" + name + "\" is not supported; supported are " +
                      supported);
}

inline AnySampler make_sampler(SamplerKind kind, NoiseSchedule schedule,
                               const DdimOptions& ddim = {}) {
    switch (kind) {
        case SamplerKind::unclip: break;
        case SamplerKind::ddim: return DdimSampler(std::move(schedule), ddim);
        case SamplerKind::dpm_solver: return DpmSolverSampler(std::move(schedule));
        case SamplerKind::sde_dpm_solver:
            return DpmSolverSampler(std::move(schedule), {.stochastic = true});
        case SamplerKind::euler: return EulerSampler(std::move(schedule));
        case SamplerKind::euler_ancestral:
            return EulerSampler(std::move(schedule), {.ancestral = true});
        case SamplerKind::heun: return HeunSampler(std::move(schedule));
    }
    return UnClipSampler(std::move(schedule));
}

}  // namespace dalle2
