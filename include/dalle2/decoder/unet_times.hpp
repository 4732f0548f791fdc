// What a UNet knows of the time in each step of a run.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include <dalle2/decoder/unet.hpp>

namespace dalle2 {

// Made for many steps at once: the weights behind it are then read once and not in every step.
// Not for all of a long run, so that the memory stays bounded.
template <Engine E>
class UNetTimes {
public:
    // Refers to the network and to added_time [batch, added_time_width], which may be null.
    UNetTimes(const UNet<E>& unet, std::vector<std::int64_t> timesteps, std::int64_t batch,
              const typename E::Tensor* added_time = nullptr)
        : unet_(unet), timesteps_(std::move(timesteps)), batch_(batch), added_time_(added_time) {}

    // Steps are asked for in ascending order.
    const PreparedTime<E>& at(std::int64_t step) {
        const auto prepared = static_cast<std::int64_t>(prepared_.size());
        if (step >= first_ + prepared) {
            first_ = step;
            prepared_ = unet_.prepare(timesteps(step), batch_, added_time_);
        }
        return prepared_.at(static_cast<std::size_t>(step - first_));
    }

private:
    static constexpr std::int64_t together = 32;

    // Of the steps from `first` on, each as often as there are pictures.
    std::vector<double> timesteps(std::int64_t first) const {
        const auto end = std::min(first + together, static_cast<std::int64_t>(timesteps_.size()));
        std::vector<double> result;
        for (std::int64_t step = first; step < end; ++step)
            result.insert(result.end(), static_cast<std::size_t>(batch_),
                          static_cast<double>(timesteps_[static_cast<std::size_t>(step)]));
        return result;
    }

    const UNet<E>& unet_;
    std::vector<std::int64_t> timesteps_;
    std::int64_t batch_;
    const typename E::Tensor* added_time_;
    std::int64_t first_ = 0;
    std::vector<PreparedTime<E>> prepared_;
};

}  // namespace dalle2
