// What a picture will take in memory, said before, against what it takes.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include <dalle2/engine/cpu.hpp>
#include <dalle2/pipeline/memory_plan.hpp>

#include "../io/temporary_folder.hpp"
#include "tiny_directory.hpp"
#include "tiny_pipeline.hpp"

using namespace dalle2;

namespace {

// Large enough that what each kernel needs for a moment does not count.
UNetConfig upsampler_config() {
    return {.in_channels = 6,
            .out_channels = 3,
            .sample_size = 192,
            .levels = {{.channels = 16}, {.channels = 24}},
            .layers_per_block = 1,
            .norm_num_groups = 4};
}

template <class T>
std::int64_t bytes_of(const CpuParameter<T>& parameter) {
    switch (parameter.kind()) {
        case ParameterKind::matrix:
        case ParameterKind::convolution: return parameter.packed().bytes();
        case ParameterKind::vector: return 4 * element_count(parameter.shape());
        default: return parameter.tensor().count() * static_cast<std::int64_t>(sizeof(T));
    }
}

template <class T>
std::int64_t bytes_of_module(const auto& module) {
    std::int64_t total = 0;
    for_each_parameter(module, [&](const std::string&, const CpuParameter<T>& parameter) {
        total += bytes_of(parameter);
    });
    return total;
}

}  // namespace

TEST_CASE_TEMPLATE("the plan counts weights as the engine packs them", T, float, bfloat16) {
    using E = Cpu<T>;
    const TemporaryFolder folder;
    tiny_model::write(folder.path());
    const MemoryPlan plan = memory_plan(
        ModelDirectory(folder.path()),
        {.engine = std::is_same_v<T, float> ? EngineKind::cpu_float : EngineKind::cpu_bfloat16});
    REQUIRE(plan.stages.size() == 5);
    CHECK(plan.stages[0].weights == bytes_of_module<T>(tiny_model::text_encoder<E>()));
    CHECK(plan.stages[1].weights == bytes_of_module<T>(tiny_model::prior<E>()));
    CHECK(plan.stages[2].name == "decoder");
    CHECK(plan.stages[2].weights == bytes_of_module<T>(tiny_model::text_projection<E>()) +
                                        bytes_of_module<T>(tiny_model::decoder<E>()));
    CHECK(plan.stages[4].weights == bytes_of_module<T>(tiny_model::upsampler_last<E>()));
    std::int64_t all = 0, largest = 0;
    for (const MemoryStage& stage : plan.stages) {
        all += stage.weights;
        largest = std::max(largest, stage.weights + stage.activations);
        CHECK(stage.activations > 0);
    }
    CHECK(plan.peak_bytes(Residency::in_turn) == largest);
    CHECK(plan.peak_bytes(Residency::whole) > all);
}

TEST_CASE_TEMPLATE("a pipeline's tensors take what the plan says, within a tenth", T, float,
                   bfloat16) {
    using E = Cpu<T>;
    const TemporaryFolder folder;
    tiny_model::write(folder.path());
    for (const char* component : {"super_res_first", "super_res_last"})
        write_json(folder / component / "config.json", to_json(upsampler_config()));
    for (const std::int64_t batch : {1, 2}) {
        const GenerationDefaults settings = {
            .prior_steps = 1, .decoder_steps = 1, .super_resolution_steps = 2};
        const MemoryPlan plan = memory_plan(
            ModelDirectory(folder.path()),
            {.engine = std::is_same_v<T, float> ? EngineKind::cpu_float : EngineKind::cpu_bfloat16,
             .settings = settings,
             .batch = batch});
        auto pipeline = tiny_model::pipeline<E>();
        pipeline.upsampler.first = tiny_model::filled<E>(UNet<E>(upsampler_config()), 6);
        pipeline.upsampler.last = tiny_model::filled<E>(UNet<E>(upsampler_config()), 7);
        pipeline.defaults = settings;
        const BufferPool pool;
        const BufferPool::Scope scope(pool);
        pipeline.generate(std::vector<std::string>(static_cast<std::size_t>(batch), "owl"),
                          {.threads = 1});
        const auto planned = static_cast<double>(plan.stages.back().activations),
                   taken = static_cast<double>(pool.peak_bytes());
        CAPTURE(batch);
        CAPTURE(planned);
        CAPTURE(taken);
        CHECK(taken >= planned);
        CHECK(taken < 1.1 * planned);
    }
}
