// Networks of the public checkpoint's size against the reference, one step of each: only where
// make_random_model.py --step has made them, in the folder that DALLE2_FULL_SIZE_MODEL names.
#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <dalle2/engine/cpu.hpp>
#include <dalle2/engine/cpu_int8.hpp>
#include <dalle2/io/safetensors.hpp>
#include <dalle2/pipeline/component.hpp>

#include "golden_files.hpp"

using namespace dalle2;

namespace {

std::optional<std::filesystem::path> model_folder() {
    const char* folder = std::getenv("DALLE2_FULL_SIZE_MODEL");
    if (!folder) {
        MESSAGE("skipped: DALLE2_FULL_SIZE_MODEL names no folder of make_random_model.py --step");
        return std::nullopt;
    }
    return folder;
}

// How far from the reference a network may be: the largest error beside the largest number, and
// the least signal to noise.
struct Bounds {
    double relative_error, decibels;
};

// The inputs and outputs of one step.
class Step {
public:
    Step(const std::filesystem::path& model, const std::string& network)
        : file_(model / "step" / (network + ".safetensors")) {}

    Array input(const std::string& name) const { return read("input." + name); }
    std::vector<std::int32_t> list(const std::string& name) const {
        const Array values = input(name);
        return {values.begin(), values.end()};
    }
    void check(const std::string& network, const Array& found, const std::string& name,
               const Bounds& bounds) const {
        const Array expected = read("output." + name);
        const double error = golden::relative_error(found, expected);
        const double decibels = golden::decibels(found, expected);
        MESSAGE(network << ", " << name << ": relative error " << error << ", " << decibels
                        << " dB");
        CHECK(error < bounds.relative_error);
        CHECK(decibels >= bounds.decibels);
    }

private:
    Array read(const std::string& name) const {
        return golden::channels_last(file_.to_array(name));
    }
    SafetensorsFile file_;
};

// Every network of a model on engine E, from its files to the numbers of its step.
template <Engine E>
void check_networks(const std::filesystem::path& path, const Bounds& bounds) {
    const ModelDirectory model(path);
    const auto in = [](const Array& array) { return E::from_array(array); };
    if (std::filesystem::exists(path / "step/text_encoder.safetensors")) {
        const Step step(path, "text_encoder");
        const auto text_encoder = load_component<ClipTextEncoder, E>(model, "text_encoder");
        const std::vector<std::int32_t> ids = step.list("input_ids");
        const auto count = static_cast<std::int64_t>(ids.size());
        const auto output = text_encoder(TokenBatch{1, count, ids, {}});
        step.check("text_encoder", E::to_array(output.text_embedding), "text_embedding", bounds);
        step.check("text_encoder", E::to_array(output.hidden_states), "hidden_states", bounds);
    }
    if (std::filesystem::exists(path / "step/image_encoder.safetensors")) {
        const Step step(path, "image_encoder");
        const auto image_encoder = load_component<ClipImageEncoder, E>(model, "image_encoder");
        step.check("image_encoder", E::to_array(image_encoder(in(step.input("pictures")))),
                   "image_embedding", bounds);
    }
    if (std::filesystem::exists(path / "step/prior.safetensors")) {
        const Step step(path, "prior");
        const auto prior = load_component<PriorTransformer, E>(model, "prior");
        const std::vector<double> timesteps = {487, 487};
        step.check(
            "prior",
            E::to_array(prior(in(step.input("sample")), timesteps, in(step.input("text_embedding")),
                              in(step.input("text_states")), step.list("mask"))),
            "output", bounds);
    }
    if (std::filesystem::exists(path / "step/text_proj.safetensors")) {
        const Step step(path, "text_proj");
        const auto projection = load_component<TextProjection, E>(model, "text_proj");
        const auto condition =
            projection(in(step.input("image_embedding")), in(step.input("text_embedding")),
                       in(step.input("text_states")));
        step.check("text_proj", E::to_array(condition.context), "context", bounds);
        step.check("text_proj", E::to_array(condition.time), "time", bounds);
    }
    if (std::filesystem::exists(path / "step/decoder.safetensors")) {
        const Step step(path, "decoder");
        const auto decoder = load_component<UNet, E>(model, "decoder");
        const auto added_time = in(step.input("added_time")), context = in(step.input("context"));
        const std::vector<std::int32_t> keep = step.list("mask");
        const std::vector<double> timesteps = {487, 487};
        step.check("decoder",
                   E::to_array(decoder(in(step.input("sample")), timesteps, &added_time,
                                       {.tokens = &context, .keep = keep})),
                   "output", bounds);
    }
    for (const std::string network : {"super_res_first", "super_res_last"}) {
        if (!std::filesystem::exists(path / ("step/" + network + ".safetensors"))) continue;
        const Step step(path, network);
        const auto upsampler = load_component<UNet, E>(model, network);
        const std::vector<double> timesteps = {487};
        step.check(network, E::to_array(upsampler(in(step.input("sample")), timesteps)), "output",
                   bounds);
    }
}

}  // namespace

TEST_CASE("Networks of the public size give the reference's numbers in float32") {
    if (const auto model = model_folder()) check_networks<Cpu<float>>(*model, {1e-3, 70});
}

TEST_CASE("Networks of the public size stay near the reference's numbers in bfloat16") {
    if (const auto model = model_folder()) check_networks<Cpu<bfloat16>>(*model, {5e-2, 35});
}

// Here the layers are chosen by their weights alone; `dalle2 convert --int8` measures
// (calibrate_int8.hpp).
TEST_CASE("Networks of the public size stay near the reference's numbers in int8") {
    if (const auto model = model_folder()) check_networks<Cpu<std::int8_t>>(*model, {0.1, 30});
}
