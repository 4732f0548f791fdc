// How much memory a picture will take: in a file of its own, because it compiles every network once
// more.
#pragma once

#include <dalle2/pipeline/memory_plan.hpp>

namespace tool {

// As dalle2::memory_plan.
dalle2::MemoryPlan plan_memory(const dalle2::ModelDirectory& directory,
                               const dalle2::MemoryPlanOptions& options);

}  // namespace tool
