// The public unCLIP checkpoint (kakaobrain/karlo-v1-alpha): its configs are read, and the networks
// made from them have exactly its tensors. Of its lists of names and shapes, made by the
// reference's own classes, only the hash is kept here.
#include <doctest/doctest.h>

#include <dalle2/engine/trace.hpp>
#include <dalle2/pipeline/component.hpp>

#include "golden_files.hpp"
#include "tensor_list.hpp"

using namespace dalle2;

namespace {

template <class Module>
void check_tensors(const std::string& component) {
    const auto record = golden::read_json(golden::folder() / "public_checkpoint.json")[component];
    using Config = typename Module::Config;
    const Module module(
        model_config<Config>(ConfigReader(record["config"], component + "/config.json")));
    const golden::TensorList tensors = golden::tensor_list(module);
    CAPTURE(component);
    CHECK(tensors.count == record["tensors"].get<std::size_t>());
    CHECK(tensors.hash == record["hash"].get<std::string>());
}

}  // namespace

TEST_CASE("Networks made from the public checkpoint's configs have its tensors, names and shapes") {
    check_tensors<PriorTransformer<Trace>>("prior");
    check_tensors<TextProjection<Trace>>("text_proj");
    check_tensors<UNet<Trace>>("decoder");
    check_tensors<UNet<Trace>>("super_res_first");
    check_tensors<UNet<Trace>>("super_res_last");
}

TEST_CASE("The public checkpoint's schedules and CLIP configs are read as what they say") {
    const auto files = golden::read_json(golden::folder() / "public_checkpoint.json");
    const auto prior = noise_schedule_config(files["prior_scheduler"]["config"], "prior");
    CHECK(prior.prediction_type == PredictionType::sample);
    CHECK(prior.variance_type == VarianceType::fixed_small_log);
    CHECK(prior.clip_sample_range == 5.0);
    const auto decoder = noise_schedule_config(files["decoder_scheduler"]["config"], "decoder");
    CHECK(decoder.prediction_type == PredictionType::epsilon);
    CHECK(decoder.variance_type == VarianceType::learned_range);
    const auto upsampler =
        noise_schedule_config(files["super_res_scheduler"]["config"], "super_res");
    CHECK(upsampler.variance_type == VarianceType::fixed_small_log);
    CHECK(upsampler.num_train_timesteps == 1000);
    const auto text =
        model_config<ClipTextConfig>(ConfigReader(files["text_encoder"]["config"], "text"));
    CHECK(text.vocab_size == 49408);
    CHECK(text.encoder.hidden_size == 768);
    const auto image =
        model_config<ClipImageConfig>(ConfigReader(files["image_encoder"]["config"], "image"));
    CHECK(image.patch_size == 14);
    CHECK(image.encoder.num_hidden_layers == 24);
}
