// What a trainer trains: a model together with its loss on a range of samples.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/train/parameter_set.hpp>

namespace dalle2 {

// What a step tells about itself, in the order in which it is printed; the first is the loss.
using Metrics = std::vector<std::pair<std::string, double>>;

// gradients(first, count, share): adds the gradient of share · (the mean loss of samples
// [first, first + count)) to the parameters. Every random choice is a function of the sample's
// index, so that a run is resumed from a number and does not depend on threads.
template <class Task>
concept TrainingTask = requires(Task& task, std::uint64_t first, std::int64_t count, double share) {
    { task.gradients(first, count, share) } -> std::same_as<Metrics>;
    task.parameters().entries();
};

}  // namespace dalle2
