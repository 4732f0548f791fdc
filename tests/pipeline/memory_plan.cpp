// What a picture will take in memory, said before, against what it takes.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/engine/on_engine.hpp>
#include <dalle2/io/convert_weights.hpp>
#include <dalle2/pipeline/memory_plan.hpp>

#include "../hostile/bounded.hpp"
#include "../io/temporary_folder.hpp"
#include "tiny_directory.hpp"
#include "tiny_pipeline.hpp"

using namespace dalle2;

namespace {

UNetConfig upsampler_config(std::int64_t sample_size = 192) {
    return {.in_channels = 6,
            .out_channels = 3,
            .sample_size = sample_size,
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

std::int64_t bytes_of(const Int8Parameter& parameter) {
    if (!parameter.is_int8()) return bytes_of<bfloat16>(parameter);
    const auto& packed = parameter.int8().packed();
    // A scale and a sum for each output.
    return packed.bytes() + 8 * packed.layout().panels() * kernels::panel_width;
}

std::int64_t bytes_of_module(const auto& module) {
    std::int64_t total = 0;
    for_each_parameter(
        module, [&](const std::string&, const auto& parameter) { total += bytes_of(parameter); });
    return total;
}

}  // namespace

TEST_CASE_TEMPLATE("the plan counts weights as the engine packs them", T, float, bfloat16,
                   std::int8_t) {
    using Fast = Cpu<T>;
    const TemporaryFolder folder;
    tiny_model::write(folder.path());
    const MemoryPlan plan =
        memory_plan(ModelDirectory(folder.path()), {.engine = kind_of_engine<Fast>});
    REQUIRE(plan.stages.size() == 5);
    CHECK(plan.stages[0].weights == bytes_of_module(tiny_model::text_encoder<Fast>()));
    CHECK(plan.stages[1].weights == bytes_of_module(tiny_model::prior<Fast>()));
    CHECK(plan.stages[2].name == "decoder");
    CHECK(plan.stages[2].weights == bytes_of_module(tiny_model::text_projection<Fast>()) +
                                        bytes_of_module(tiny_model::decoder<Fast>()));
    CHECK(plan.stages[4].weights == bytes_of_module(tiny_model::upsampler_last<Fast>()));
    for (const MemoryStage& stage : plan.stages) CHECK(stage.activations > 0);
}

TEST_CASE("the peak is of the stage that needs most, or of all weights and the most tensors") {
    constexpr std::int64_t mega = 1'000'000;
    MemoryPlan plan = {.stages = {{"a", 10 * mega, 2 * mega}, {"b", 3 * mega, 5 * mega}},
                       .program = mega};
    CHECK(plan.peak_bytes(Residency::in_turn) == 13 * mega);
    CHECK(plan.peak_bytes(Residency::whole) == 19 * mega);
    // The pool keeps what earlier stages took, up to a limit.
    plan.stages.push_back({"c", 10 * mega, mega});
    CHECK(plan.peak_bytes(Residency::in_turn) == 16 * mega);
    plan.stages = {{"b", 3 * mega, 500 * mega}, {"c", 900 * mega, mega}};
    CHECK(plan.peak_bytes(Residency::in_turn) ==
          901 * mega + static_cast<std::int64_t>(BufferPool::kept_bytes));
    CHECK(plan.peak_bytes(Residency::whole) == 1404 * mega);
}

TEST_CASE("of int8 the plan counts what gains from it, or what the file says") {
    using Fast = Cpu<std::int8_t>;
    const TemporaryFolder folder;
    tiny_model::write(folder.path());
    for (const char* component : {"super_res_first", "super_res_last"})
        save_component(folder.path(), component,
                       tiny_model::filled<Reference>(UNet<Reference>(upsampler_config()), 6));
    const ModelDirectory directory(folder.path());
    // This one's file was made for int8, with a single weight of it.
    const std::filesystem::path path = directory.weights_path("super_res_last");
    convert_weights(WeightFiles(path), folder.path(), "made",
                    {.int8 = std::set<std::string>{"down_blocks.0.resnets.0.conv1.weight"}});
    std::filesystem::rename(folder / "made.safetensors", path);

    const MemoryPlan plan = memory_plan(directory, {.engine = EngineKind::cpu_int8});
    const auto loaded = [&](const std::string& component) {
        return bytes_of_module(load_component<UNet, Fast>(directory, component));
    };
    const std::int64_t first = plan.stages.at(3).weights, last = plan.stages.at(4).weights;
    CHECK(first == loaded("super_res_first"));
    CHECK(last == loaded("super_res_last"));
    CHECK(first < last);
    CHECK(last < memory_plan(directory, {.engine = EngineKind::cpu_bfloat16}).stages[4].weights);
}

TEST_CASE("of a model without a prior the plan counts the image encoder in its place") {
    const TemporaryFolder folder;
    tiny_model::write(folder.path());
    write_model_index(folder.path(), {"tokenizer", "text_encoder", "image_encoder", "text_proj",
                                      "decoder", "super_res_first", "super_res_last",
                                      "decoder_scheduler", "super_res_scheduler"});
    const MemoryPlan plan =
        memory_plan(ModelDirectory(folder.path()), {.engine = EngineKind::cpu_float});
    REQUIRE(plan.stages.size() == 5);
    CHECK(plan.stages[1].name == "image_encoder");
    CHECK(plan.stages[1].weights == bytes_of_module(tiny_model::image_encoder<Cpu<float>>()));
    CHECK(plan.stages[1].activations > 0);
}

TEST_CASE_TEMPLATE("a pipeline's tensors take what the plan says, within a tenth", T, float,
                   bfloat16) {
    using Fast = Cpu<T>;
    // Where kernels widen bfloat16, what they need for a moment does count beside so small tensors.
    const double widened =
        kernels::vector_kernels<T>().factor_size > std::int64_t{sizeof(T)} ? 3e6 : 0;
    // Large enough that what all kernels need for a moment does not count.
    const UNetConfig large = upsampler_config(448);
    const TemporaryFolder folder;
    tiny_model::write(folder.path());
    for (const char* component : {"super_res_first", "super_res_last"})
        write_json(folder / component / "config.json", to_json(large));
    for (const std::int64_t batch : {1, 2}) {
        const GenerationDefaults settings = {
            .prior_steps = 1, .decoder_steps = 1, .super_resolution_steps = 2};
        const MemoryPlan plan =
            memory_plan(ModelDirectory(folder.path()),
                        {.engine = kind_of_engine<Fast>, .settings = settings, .batch = batch});
        auto pipeline = tiny_model::pipeline<Fast>();
        pipeline.upsampler.first = tiny_model::filled<Fast>(UNet<Fast>(large), 6);
        pipeline.upsampler.last = tiny_model::filled<Fast>(UNet<Fast>(large), 7);
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
        CHECK(taken > 0.99 * planned);
        CHECK(taken < 1.1 * planned + widened);
    }
}

#if defined(DALLE2_TOOL) && defined(__linux__)
namespace {

// The most memory of the tool that is resident at one time while it draws, in bytes.
std::int64_t measured_bytes(const std::filesystem::path& model, EngineKind engine,
                            Residency residency) {
    std::string words[] = {DALLE2_TOOL,
                           "generate",
                           "a red owl red owl red owl red owl",
                           "--threads",
                           "2",
                           "--model",
                           model.string(),
                           "--engine",
                           to_string(engine),
                           "--memory",
                           residency == Residency::whole ? "all" : "least",
                           "--output",
                           (model / "drawn.png").string()};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const ::pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const int nowhere = ::open("/dev/null", O_WRONLY);
        ::dup2(nowhere, 1);
        ::dup2(nowhere, 2);
        ::execv(arguments[0], arguments.data());
        ::_exit(127);
    }
    int status = -1;
    struct rusage usage {};
    REQUIRE(::wait4(child, &status, 0, &usage) == child);
    REQUIRE(WIFEXITED(status));
    REQUIRE(WEXITSTATUS(status) == 0);
    return std::int64_t{usage.ru_maxrss} * 1024;
}

// With so many weights that they count beside the program: 44 million.
void write_large_model(const std::filesystem::path& path) {
    tiny_model::write(path, DType::bf16);
    const auto save = [&]<template <class> class Module>(const std::string& component,
                                                         Module<Reference> module) {
        save_component(path, component, tiny_model::filled<Reference>(std::move(module), 1),
                       DType::bf16);
    };
    save("prior", PriorTransformer<Reference>({.embedding_dim = tiny_model::width,
                                               .num_attention_heads = 8,
                                               .attention_head_dim = 64,
                                               .num_layers = 9,
                                               .num_embeddings = tiny_model::tokens}));
    TextProjectionConfig text_projection = tiny_model::text_projection_config();
    text_projection.time_embed_dim = 256;
    save("text_proj", TextProjection<Reference>(text_projection));
    UNetConfig decoder = tiny_model::decoder_config();
    decoder.levels = {{.channels = 64},
                      {.channels = 320, .down_attention = true, .up_attention = true}};
    save("decoder", UNet<Reference>(decoder));
    for (const char* component : {"super_res_first", "super_res_last"})
        save(component, UNet<Reference>(upsampler_config()));
    save_generation_defaults(path,
                             {.prior_steps = 1, .decoder_steps = 1, .super_resolution_steps = 2});
}

}  // namespace

TEST_CASE("the tool takes as much memory as the plan says, within a tenth") {
    if (hostile::sanitized) return;
    const TemporaryFolder folder;
    write_large_model(folder.path());
#if defined(__GLIBC__)
    ::malloc_trim(0);  // a child counts what its parent had at the fork
#endif
    const ModelDirectory directory(folder.path());
    for (const EngineKind engine :
         {EngineKind::cpu_int8, EngineKind::cpu_bfloat16, EngineKind::cpu_float}) {
        const MemoryPlan plan = memory_plan(
            directory, {.engine = engine, .settings = load_generation_defaults(folder.path())});
        for (const Residency residency : {Residency::in_turn, Residency::whole}) {
            const auto planned = static_cast<double>(plan.peak_bytes(residency)),
                       measured =
                           static_cast<double>(measured_bytes(folder.path(), engine, residency));
            CAPTURE(to_string(engine));
            CAPTURE(static_cast<int>(residency));
            CAPTURE(planned);
            CAPTURE(measured);
            CHECK(measured > 0.9 * planned);
            CHECK(measured < 1.1 * planned);
        }
    }
}
#endif
