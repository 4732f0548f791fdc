// A whole pipeline runs on the Trace engine, which tells what a picture costs.
#include <doctest/doctest.h>

#include <dalle2/engine/trace.hpp>
#include <dalle2/pipeline/model_cost.hpp>

#include "../io/temporary_folder.hpp"
#include "tiny_pipeline.hpp"

using namespace dalle2;

namespace {

const auto& traced_pipeline() {
    static const auto made = tiny_model::pipeline<Trace>();
    return made;
}

std::int64_t cost(const GenerateOptions& options) {
    TraceLog log;
    const TraceLog::Scope scope(log);
    traced_pipeline().generate({"a red owl"}, options);
    return log.multiply_adds();
}

}  // namespace

TEST_CASE("a guidance of exactly 1 does not run the unconditional half") {
    const auto stage = [](std::int64_t steps, double guidance) {
        // The difference of two runs is one step of the prior and one of the decoder.
        const auto run = [&](std::int64_t n) {
            return cost({.prior_steps = n,
                         .decoder_steps = n,
                         .super_resolution_steps = 1,
                         .prior_guidance_scale = guidance,
                         .decoder_guidance_scale = guidance,
                         .padding = Padding::keep});
        };
        return run(steps + 1) - run(steps);
    };
    // All of a step but the prior's embedding of its time, which is the same for both halves.
    CHECK(100 * stage(1, 4.0) > 197 * stage(1, 1.0));
    CHECK(stage(1, 4.0) < 2 * stage(1, 1.0));
    CHECK(stage(3, 0.0) == stage(1, 4.0));
}

TEST_CASE("each step costs the same, and trimming the padding makes it cheaper") {
    const auto run = [](std::int64_t steps, Padding padding) {
        return cost({.prior_steps = steps,
                     .decoder_steps = steps,
                     .super_resolution_steps = 1,
                     .padding = padding});
    };
    CHECK(run(5, Padding::keep) - run(4, Padding::keep) ==
          run(2, Padding::keep) - run(1, Padding::keep));
    CHECK(run(5, Padding::trim) < run(5, Padding::keep));
}

TEST_CASE("what does not change between steps is made once, not in every step") {
    const PriorConfig prior_config = tiny_model::prior_config();
    const DiffusionTrace prior = trace_prior_steps(prior_config, 10, 2, 9);
    CHECK(3 * prior.step.multiply_adds() < trace_prior(prior_config, 2, 9).multiply_adds());

    const UNetConfig decoder_config = tiny_model::decoder_config();
    const std::int64_t size = decoder_config.sample_size;
    const DiffusionTrace decoder = trace_unet_steps(decoder_config, 10, 2, 12);
    const TraceLog whole = trace_unet(decoder_config, 2, size, 12);
    CHECK(decoder.step.multiply_adds() < whole.multiply_adds());
    // A step reads no weights that know only the context or the time.
    const auto linears = [](const TraceLog& log) {
        for (const TraceSummary& kind : log.summary())
            if (kind.operation == "linear") return kind.count;
        return std::int64_t{0};
    };
    const std::int64_t attentions = 4, resnets = 10, time_layers = 2;
    CHECK(linears(decoder.step) == 4 * attentions);
    CHECK(linears(whole) == 6 * attentions + resnets + time_layers);
    CHECK(linears(decoder.preparation) == 2 * attentions + resnets + time_layers);
}

TEST_CASE("the empty prompt is prepared once for all pictures of a batch") {
    const auto run = [](const std::vector<std::string>& prompts, double guidance) {
        TraceLog log;
        const TraceLog::Scope scope(log);
        traced_pipeline().generate(prompts, {.prior_steps = 1,
                                             .decoder_steps = 1,
                                             .super_resolution_steps = 1,
                                             .prior_guidance_scale = guidance,
                                             .decoder_guidance_scale = guidance});
        return log;
    };
    const auto context_rows = [](const TraceLog& log) {
        std::int64_t rows = 0;  // of the decoder's keys of the context
        for (const TraceEntry& entry : log.entries())
            if (entry.operation == "linear" && entry.inputs[0].size() == 3 &&
                entry.inputs[0][2] == 10 && entry.result[2] == 12)
                rows = std::max(rows, entry.inputs[0][0]);
        return rows;
    };
    CHECK(context_rows(run({"owl", "a red owl", "red"}, 4.0)) == 3 + 1);
    CHECK(context_rows(run({"owl", "a red owl", "red"}, 1.0)) == 3);
    const auto work = [&](std::size_t count, double guidance) {
        return run(std::vector<std::string>(count, "a red owl"), guidance).multiply_adds();
    };
    CHECK(work(3, 4.0) < 3 * work(1, 4.0));
}

TEST_CASE("the cost of a model directory is that of the pipeline, from configs alone") {
    const TemporaryFolder folder;
    const auto save = [&](const std::string& component, const auto& config) {
        write_json(make_component_folder(folder.path(), component) / "config.json",
                   to_json(config));
    };
    save("text_encoder", tiny_model::text_config());
    save("prior", tiny_model::prior_config());
    save("text_proj", tiny_model::text_projection_config());
    save("decoder", tiny_model::decoder_config());
    save("super_res_first", tiny_model::upsampler_config());
    save("super_res_last", tiny_model::upsampler_config());
    write_model_index(folder.path(), {"text_encoder", "prior", "text_proj", "decoder",
                                      "super_res_first", "super_res_last"});

    for (const double guidance : {1.0, 4.0}) {
        ModelCostOptions options = {.settings = {3, 4, 5, guidance, guidance}};
        std::int64_t total = 0;
        std::vector<std::string> names;
        for (const ComponentCost& component : model_cost(ModelDirectory(folder.path()), options)) {
            total += component.multiply_adds();
            names.push_back(component.component);
            CHECK(component.log.peak_bytes() > 0);
        }
        CHECK(names == std::vector<std::string>{"text_encoder", "prior", "text_proj", "decoder",
                                                "super_res_first", "super_res_last"});
        CHECK(total == cost({.prior_steps = 3,
                             .decoder_steps = 4,
                             .super_resolution_steps = 5,
                             .prior_guidance_scale = guidance,
                             .decoder_guidance_scale = guidance,
                             .padding = Padding::keep}));
    }
    const auto costs = model_cost(ModelDirectory(folder.path()));
    CHECK(costs[1].parameters == parameter_count(traced_pipeline().prior.transformer));
    CHECK(costs[1].runs == 25);
    CHECK(costs[4].runs == 6);
    CHECK(costs[5].runs == 1);
}
