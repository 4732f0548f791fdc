// A sampler whose kind is known at run time alone.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <dalle2/diffusion/ddim_sampler.hpp>
#include <dalle2/diffusion/unclip_sampler.hpp>

namespace dalle2 {

class AnySampler {
public:
    explicit AnySampler(NoiseSchedule schedule) : sampler_(UnClipSampler(std::move(schedule))) {}
    AnySampler(UnClipSampler sampler) : sampler_(std::move(sampler)) {}
    AnySampler(DdimSampler sampler) : sampler_(std::move(sampler)) {}

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
    std::variant<UnClipSampler, DdimSampler> sampler_;
};

static_assert(Sampler<AnySampler>);

enum class SamplerKind { unclip, ddim };

// Throws ConfigError, naming `where`, for a sampler that there is not.
inline SamplerKind sampler_kind_from_name(const std::string& name, const std::string& where) {
    if (name == "unclip") return SamplerKind::unclip;
    if (name == "ddim") return SamplerKind::ddim;
    throw ConfigError(where + ": sampler \"" + name +
                      "\" is not supported; supported are \"unclip\" and \"ddim\"");
}

inline std::string to_string(SamplerKind kind) {
    return kind == SamplerKind::unclip ? "unclip" : "ddim";
}

}  // namespace dalle2
