// How the learning rate changes over a run.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace dalle2 {

// Grows linearly for `warmup` steps, then falls along half a cosine to `final_share` of its peak.
struct LearningRate {
    double peak = 1e-3;
    std::int64_t warmup = 200;
    std::int64_t steps = 10000;
    double final_share = 0.05;

    double at(std::int64_t step) const {  // counted from 0
        if (step < warmup)
            return peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
        const double span = static_cast<double>(std::max<std::int64_t>(1, steps - warmup));
        const double progress = std::clamp(static_cast<double>(step - warmup) / span, 0.0, 1.0);
        return peak * (final_share +
                       (1 - final_share) * 0.5 * (1 + std::cos(progress * std::numbers::pi)));
    }
};

}  // namespace dalle2
