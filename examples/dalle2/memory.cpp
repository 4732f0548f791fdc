#include "memory.hpp"

namespace tool {

dalle2::MemoryPlan plan_memory(const dalle2::ModelDirectory& directory,
                               const dalle2::MemoryPlanOptions& options) {
    return dalle2::memory_plan(directory, options);
}

}  // namespace tool
