// A whole pipeline runs on the Trace engine, which tells what a picture costs.
#include <doctest/doctest.h>

#include <dalle2/engine/trace.hpp>

#include "tiny_pipeline.hpp"

using namespace dalle2;

namespace {

std::int64_t cost(const GenerateOptions& options) {
    static const auto pipeline = tiny_model::pipeline<Trace>();
    TraceLog log;
    const TraceLog::Scope scope(log);
    pipeline.generate({"a red owl"}, options);
    return log.multiply_adds();
}

}  // namespace

TEST_CASE("a guidance of exactly 1 does not run the unconditional half") {
    const auto stage = [](std::int64_t steps, double guidance) {
        // The difference of two runs is one step of the prior and one of the decoder.
        const auto run = [&](std::int64_t n) {
            return cost({.prior_steps = n, .decoder_steps = n, .super_resolution_steps = 1,
                         .prior_guidance_scale = guidance, .decoder_guidance_scale = guidance,
                         .padding = Padding::keep});
        };
        return run(steps + 1) - run(steps);
    };
    CHECK(stage(1, 4.0) == 2 * stage(1, 1.0));
    CHECK(stage(3, 0.0) == 2 * stage(3, 1.0));
}

TEST_CASE("each step costs the same, and trimming the padding makes it cheaper") {
    const auto run = [](std::int64_t steps, Padding padding) {
        return cost({.prior_steps = steps, .decoder_steps = 1, .super_resolution_steps = 1, .padding = padding});
    };
    CHECK(run(5, Padding::keep) - run(4, Padding::keep) == run(2, Padding::keep) - run(1, Padding::keep));
    CHECK(run(5, Padding::trim) < run(5, Padding::keep));
}
