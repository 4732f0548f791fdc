// A model directory: written, loaded, refused.
#include <doctest/doctest.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

#include <dalle2/io/convert_weights.hpp>

#include "../io/temporary_folder.hpp"
#include "tiny_directory.hpp"
#include "tiny_pipeline.hpp"

using namespace dalle2;
using E = Cpu<float>;

namespace {

// Each case changes a fresh copy.
struct Model {
    TemporaryFolder folder;
    Model() {
        static const TemporaryFolder original;
        static const bool written = (tiny_model::write(original.path()), true);
        if (written)
            std::filesystem::copy(original.path(), folder.path(),
                                  std::filesystem::copy_options::recursive |
                                      std::filesystem::copy_options::overwrite_existing);
    }

    Json json(const std::string& file) const { return read_json(folder / file); }
    void change(const std::string& file, const std::string& key, const Json& value) const {
        Json changed = json(file);
        changed[key] = value;
        folder.write(file, changed.dump());
    }
    void remove(const std::string& name) const { std::filesystem::remove_all(folder / name); }

    // Every matrix and convolution of a component, however small.
    void make_int8(const std::string& component, const std::string& stem) const {
        const WeightFiles weights(folder / component / (stem + ".safetensors"));
        std::set<std::string> names;
        for (const std::string& name : weights.names())
            if (weights.shape(name).size() > 1) names.insert(name);
        convert_weights(weights, folder / component, stem, {.int8 = names});
    }

    // The message with which loading fails; empty when it does not.
    std::string error() const {
        try {
            load_on<E>(folder.path());
        } catch (const Error& error) {
            return error.what();
        }
        return "";
    }
    bool fails_with(const std::string& part) const {
        const std::string message = error();
        INFO("message: ", message, "; expected in it: ", part);
        const bool found = !message.empty() && message.find(part) != std::string::npos;
        CHECK(found);
        return found;
    }
};

}  // namespace

TEST_CASE("what was written is loaded, and makes the same picture as in memory") {
    const Model model;
    const auto loaded =
        load_on<E>(model.folder.path(), {.schedule_precision = SchedulePrecision::exact});
    CHECK(loaded.defaults ==
          GenerationDefaults{.prior_steps = 3, .decoder_steps = 4, .super_resolution_steps = 2});
    const auto in_memory = tiny_model::pipeline<E>();
    CHECK(loaded.generate({"a red owl"}, {.seed = 7}).pictures ==
          in_memory.generate({"a red owl"}, {.seed = 7}).pictures);
}

TEST_CASE("a directory without a last upsampler or generation defaults is complete") {
    const Model model;
    model.remove("super_res_last");
    model.remove("generation_config.json");
    Json index = model.json("model_index.json");
    index.erase("super_res_last");
    model.folder.write("model_index.json", index.dump());
    const auto loaded = load_on<E>(model.folder.path());
    CHECK(!loaded.upsampler.last);
    CHECK(loaded.defaults == GenerationDefaults{});
}

TEST_CASE("what is missing is an error that names it") {
    CHECK(Model().error().empty());
    for (const char* component :
         {"tokenizer", "text_encoder", "prior", "text_proj", "decoder", "super_res_first",
          "super_res_last", "prior_scheduler", "decoder_scheduler", "super_res_scheduler"}) {
        const Model model;
        model.remove(component);
        model.fails_with(component);
    }
    const Model model;
    model.remove("decoder/diffusion_pytorch_model.safetensors");
    model.fails_with("decoder/diffusion_pytorch_model.safetensors");
    CHECK_THROWS_AS(load_on<E>("/no/such/model"), IoError);
}

TEST_CASE("weights of another model are an error") {
    const Model model;
    std::filesystem::copy_file(model.folder / "super_res_first/diffusion_pytorch_model.safetensors",
                               model.folder / "decoder/diffusion_pytorch_model.safetensors",
                               std::filesystem::copy_options::overwrite_existing);
    model.fails_with(
        "decoder/diffusion_pytorch_model.safetensors does not fit the model's config.json");
}

TEST_CASE("components that do not fit together are an error that names both sizes") {
    const auto fails = [](const std::string& file, const std::string& key, const Json& value,
                          const std::string& part) {
        const Model model;
        model.change(file, key, value);
        model.fails_with(part);
    };
    // Sizes that the weights of one component cannot tell.
    fails("tokenizer/tokenizer_config.json", "model_max_length", 15,
          "tokenizer/model_max_length is 15");
    fails("super_res_first/config.json", "sample_size", 32, "super_res_first/sample_size");
    fails("super_res_scheduler/scheduler_config.json", "variance_type", "learned_range",
          "expected 6");
    fails("decoder/config.json", "norm_num_groups", 5, "norm_num_groups");
    fails("decoder/config.json", "block_out_channels", Json::array({8, 1000000000000}),
          "block_out_channels");
    fails("prior/config.json", "num_layers", 3, "prior");
    fails("generation_config.json", "prior_steps", 0, "prior_steps");
    fails("generation_config.json", "steps", 5, "unknown key \"steps\"");
    const Model model;
    model.folder.write("super_res_first/config.json", model.folder.read("decoder/config.json"));
    model.fails_with("UNet2DModel");
}

TEST_CASE("networks loaded in turn make the same picture, and none stays in memory") {
    const Model model;
    std::vector<std::string> read;
    const LoadOptions in_turn = {
        .engine = EngineKind::cpu_float,
        .residency = Residency::in_turn,
        .on_component = [&](const std::string& component) { read.push_back(component); }};
    const Pipeline staged = load(model.folder.path(), in_turn);
    CHECK(staged.residency() == Residency::in_turn);
    CHECK(staged.engine() == EngineKind::cpu_float);
    CHECK(read.empty());
    const Array expected = load_on<E>(model.folder.path()).generate({"owl"}, {.seed = 1}).pictures;
    CHECK(staged.generate({"owl"}, {.seed = 1}).pictures == expected);
    const std::vector<std::string> once = {"text_encoder", "prior",           "text_proj",
                                           "decoder",      "super_res_first", "super_res_last"};
    CHECK(read == once);
    CHECK(staged.generate({"owl"}, {.seed = 1}).pictures == expected);
    CHECK(read.size() == 2 * once.size());
}

TEST_CASE("networks loaded in turn are looked at before the first is used") {
    const Model model;
    write_safetensors(model.folder / "super_res_last/diffusion_pytorch_model.safetensors", {});
    CHECK_THROWS_WITH_AS(load_staged_on<E>(model.folder.path()),
                         doctest::Contains("super_res_last"), FormatError);
    model.remove("super_res_last/diffusion_pytorch_model.safetensors");
    CHECK_THROWS_AS(load_staged_on<E>(model.folder.path()), IoError);
}

TEST_CASE("pipelines of several kinds serve several threads at once") {
    const Model model;
    model.make_int8("super_res_first", "diffusion_pytorch_model");
    const auto make = [&](EngineKind engine, Residency residency) {
        return load<AllEngines>(model.folder.path(), {.engine = engine, .residency = residency});
    };
    std::vector<Pipeline> pipelines;
    pipelines.push_back(make(EngineKind::cpu_float, Residency::whole));
    pipelines.push_back(make(EngineKind::cpu_float, Residency::in_turn));
    pipelines.push_back(make(EngineKind::cpu_bfloat16, Residency::whole));
    pipelines.push_back(make(EngineKind::cpu_int8, Residency::whole));
    std::vector<Array> expected;
    for (const Pipeline& pipeline : pipelines)
        expected.push_back(pipeline.generate({"owl"}, {.seed = 5, .threads = 1}).pictures);
    for (const int each : {1, 2}) {  // threads of a call
        CAPTURE(each);
        const GenerateOptions call = {.seed = 5, .threads = each};
        std::vector<Array> found(2 * pipelines.size());
        {
            std::vector<std::jthread> threads;
            for (std::size_t i = 0; i < found.size(); ++i)
                threads.emplace_back([&, i] {
                    found[i] = pipelines[i % pipelines.size()].generate({"owl"}, call).pictures;
                });
        }
        for (std::size_t i = 0; i < found.size(); ++i)
            CHECK(found[i] == expected[i % pipelines.size()]);
    }
}

TEST_CASE("a pipeline is called from within a parallel region of the application") {
    const Model model;
    const Pipeline pipeline = load(model.folder.path(), {.engine = EngineKind::cpu_float});
    const Array expected = pipeline.generate({"owl"}, {.seed = 5, .threads = 1}).pictures;
    std::vector<Array> found(2);
#pragma omp parallel for num_threads(2) schedule(static, 1)
    for (int i = 0; i < 2; ++i)
        found[static_cast<std::size_t>(i)] =
            pipeline.generate({"owl"}, {.seed = 5, .threads = 2}).pictures;
    for (const Array& pictures : found) CHECK(pictures == expected);
}

TEST_CASE("dalle2::load gives the engine and samplers that are asked for") {
    const Model model;
    const Pipeline floats = load(model.folder.path(), {.engine = EngineKind::cpu_float});
    CHECK(floats.engine() == EngineKind::cpu_float);
    CHECK(floats.tokenizer().max_length() == tiny_model::tokens);
    CHECK(floats.defaults().decoder_steps == 4);
    const Array expected = load_on<E>(model.folder.path()).generate({"owl"}, {.seed = 1}).pictures;
    CHECK(floats.generate({"owl"}, {.seed = 1}).pictures == expected);
    CHECK(floats("owl", {.seed = 1}).rgb == picture_from_array(expected).rgb);
    const Pipeline ddim = load(model.folder.path(), {.engine = EngineKind::cpu_float,
                                                     .prior_sampler = SamplerKind::ddim,
                                                     .decoder_sampler = SamplerKind::ddim});
    CHECK(ddim.generate({"owl"}, {.seed = 1}).pictures != expected);

    const Array reference = load<AllEngines>(model.folder.path(), {.engine = EngineKind::reference})
                                .generate({"owl"}, {.seed = 1})
                                .pictures;
    CHECK(xt::amax(xt::abs(reference - expected))() < 1e-3);
    CHECK_THROWS_WITH_AS(load(model.folder.path(), {.engine = EngineKind::reference}),
                         doctest::Contains("load<dalle2::AllEngines>"), ConfigError);
    const Pipeline usual = load(model.folder.path());
    CHECK(usual.engine() == fastest_engine());
    CHECK(usual("owl").width == tiny_model::large_size);

    CHECK(engine_kind_from_name("bfloat16", "x") == EngineKind::cpu_bfloat16);
    CHECK(engine_kind_from_name("int8", "x") == EngineKind::cpu_int8);
    CHECK_THROWS_WITH_AS(engine_kind_from_name("int4", "--engine"),
                         "--engine: engine \"int4\" is not supported; supported are \"reference\", "
                         "\"float32\", \"bfloat16\", \"int8\"",
                         ConfigError);
    CHECK_THROWS_AS(sampler_kind_from_name("rk4", "--sampler"), ConfigError);
}
