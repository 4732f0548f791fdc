// The reference's whole pipeline, step by step: same weights, same noise, same pictures.
#include <dalle2/pipeline/load.hpp>
#include <dalle2/pipeline/load_variations.hpp>
#include <dalle2/text/tokenizer_files.hpp>

#include "../io/temporary_folder.hpp"
#include "model_case.hpp"

using namespace dalle2;

namespace {

// Each diffusion is chaotic where its first steps divide by a signal of 5e-5: float's rounding
// grows to 2e-5 there (measured in the reference against double precision), and up to 6e-5 between
// orders of summation as guidance magnifies it.
constexpr double step_tolerance = 1e-4;

const LoadOptions exact = {.schedule_precision = SchedulePrecision::exact};

// A directory that the reference has written, with its weights filled in.
class FilledDirectory {
public:
    explicit FilledDirectory(const std::string& name) : name_(name) {
        std::filesystem::copy(golden::folder() / "pipelines" / name_, path(),
                              std::filesystem::copy_options::recursive);
        const ModelDirectory directory(path());
        fill<ClipTextEncoder<Reference>>(directory, "text_encoder");
        if (directory.has("prior")) fill<PriorTransformer<Reference>>(directory, "prior");
        if (directory.has("image_encoder"))
            fill<ClipImageEncoder<Reference>>(directory, "image_encoder");
        fill<TextProjection<Reference>>(directory, "text_proj");
        for (const char* unet : {"decoder", "super_res_first", "super_res_last"})
            fill<UNet<Reference>>(directory, unet);
    }
    std::filesystem::path path() const { return folder_ / name_; }

private:
    template <class Module>
    void fill(const ModelDirectory& directory, const std::string& part) const {
        Module module(load_config<typename Module::Config>(directory, part));
        golden::fill<Reference>("pipeline/" + name_ + "/" + part, module);
        save_weights<Reference>(module, directory.folder(part) / component_kind(part).weights_file);
    }

    TemporaryFolder folder_;
    std::string name_;
};

std::vector<std::string> prompts_of(const nlohmann::json& call) {
    if (call["prompt"].is_string()) return {call["prompt"]};
    return call["prompt"].get<std::vector<std::string>>();
}

GenerateOptions options_of(const nlohmann::json& call) {
    return {.seed = call["seed"],
            .prior_steps = call["prior_num_inference_steps"].get<std::int64_t>(),
            .decoder_steps = call["decoder_num_inference_steps"].get<std::int64_t>(),
            .super_resolution_steps = call["super_res_num_inference_steps"].get<std::int64_t>(),
            .prior_guidance_scale = call["prior_guidance_scale"].get<double>(),
            .decoder_guidance_scale = call["decoder_guidance_scale"].get<double>()};
}

nlohmann::json records() { return golden::read_json(golden::folder() / "pipelines.json"); }

// x/2 + 1/2 within 0 to 1: the reference's picture.
Array shown(Array picture) {
    for (float& value : picture) value = std::clamp(value * 0.5f + 0.5f, 0.0f, 1.0f);
    return picture;
}

double psnr(const Array& found, const Array& expected) {
    REQUIRE(shape_of(found) == shape_of(expected));
    double sum = 0.0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        const double difference = static_cast<double>(found.data()[i]) - expected.data()[i];
        sum += difference * difference;
    }
    return -10.0 * std::log10(sum / static_cast<double>(found.size()) + 1e-20);
}

}  // namespace

TEST_CASE_TEMPLATE("From the same seed every step of every stage is the reference's", E, Reference,
                   Cpu<float>) {
    for (const auto& record : records()) {
        const std::string name = record["name"];
        const auto& outputs = record["outputs"];
        const auto pipeline = load_on<E>(FilledDirectory(name).path());
        for (const Padding padding : {Padding::keep, Padding::trim}) {
            GenerateOptions options = options_of(record["call"]);
            options.padding = padding;
            options.progress = [&](const GenerateProgress& progress) {
                if (progress.step == 0) return;  // the noise that a stage begins with
                const std::string stage = progress.stage == Stage::super_resolution
                                              ? "super_res"
                                              : to_string(progress.stage);
                const auto& steps = outputs[stage + "_steps"];
                REQUIRE(steps.size() == static_cast<std::size_t>(progress.steps));
                const Array expected = golden::channels_last(
                    golden::read_array(steps[static_cast<std::size_t>(progress.step - 1)]));
                CAPTURE(name);
                CAPTURE(stage);
                CAPTURE(progress.step);
                CHECK(golden::relative_error(progress.sample, expected) < step_tolerance);
            };
            const Generation made = pipeline.generate(prompts_of(record["call"]), options);
            CHECK(golden::relative_error(made.image_embedding,
                                         golden::read_array(outputs["image_embedding"])) < 1e-5);
            CHECK(golden::relative_error(pipeline.upsampler.enlarge(made.small_pictures),
                                         golden::channels_last(golden::read_array(
                                             outputs["low_resolution"]))) < step_tolerance);
            CHECK(golden::relative_error(shown(made.pictures),
                                         golden::read_array(outputs["picture"])) < step_tolerance);
        }
    }
}

TEST_CASE_TEMPLATE("From the same seed a picture's variation is the reference's, at every step", E,
                   Reference, Cpu<float>) {
    const auto record = golden::read_json(golden::folder() / "variations.json");
    const auto& outputs = record["outputs"];
    const auto pipeline = load_variations_on<E>(FilledDirectory(record["name"]).path());
    const Picture picture{record["size"][0], record["size"][1],
                          record["rgb"].get<std::vector<std::uint8_t>>()};
    const auto& call = record["call"];
    GenerateOptions options = {
        .seed = call["seed"],
        .decoder_steps = call["decoder_num_inference_steps"].get<std::int64_t>(),
        .super_resolution_steps = call["super_res_num_inference_steps"].get<std::int64_t>(),
        .decoder_guidance_scale = call["decoder_guidance_scale"].get<double>()};
    std::size_t compared = 0;
    options.progress = [&](const GenerateProgress& progress) {
        if (progress.step == 0) return;
        const auto& steps =
            outputs[progress.stage == Stage::decoder ? "decoder_steps" : "super_res_steps"];
        const Array expected = golden::channels_last(
            golden::read_array(steps[static_cast<std::size_t>(progress.step - 1)]));
        CAPTURE(progress.step);
        CHECK(golden::relative_error(progress.sample, expected) < step_tolerance);
        ++compared;
    };
    const Generation made = pipeline.generate({picture}, options);
    CHECK(compared == outputs["decoder_steps"].size() + outputs["super_res_steps"].size());
    CHECK(golden::relative_error(made.image_embedding,
                                 golden::read_array(outputs["image_embedding"])) < 1e-5);
    CHECK(golden::relative_error(shown(made.pictures), golden::read_array(outputs["picture"])) <
          step_tolerance);
    // From the embedding alone the same picture follows.
    CHECK(pipeline.generate(made.image_embedding, options).pictures == made.pictures);
}

TEST_CASE("Prompts become the reference's tokens and text states") {
    for (const auto& record : records()) {
        const auto pipeline = load_on<Reference>(FilledDirectory(record["name"]).path());
        const TokenBatch batch =
            token_batch(pipeline.tokenizer, prompts_of(record["call"]), Padding::keep);
        const bool one = record["input_ids"][0].is_number();
        const auto flat = [&](const nlohmann::json& rows) {
            if (one) return rows.get<std::vector<std::int32_t>>();
            std::vector<std::int32_t> all;
            for (const auto& row : rows) all.insert(all.end(), row.begin(), row.end());
            return all;
        };
        CHECK(batch.ids == flat(record["input_ids"]));
        CHECK(batch.mask == flat(record["mask"]));

        EncodedText text = encode_text(pipeline.text_encoder, batch);
        if (record["call"]["decoder_guidance_scale"] > 1.0)  // the empty prompt stands first
            text = joined(encode_text(pipeline.text_encoder,
                                      token_batch(pipeline.tokenizer, {""}, Padding::keep)),
                          text);
        const auto& outputs = record["outputs"];
        CHECK(golden::relative_error(text.text_embedding,
                                     golden::read_array(outputs["text_embedding"])) < 1e-5);
        CHECK(golden::relative_error(text.hidden_states,
                                     golden::read_array(outputs["text_states"])) < 1e-5);
    }
}

TEST_CASE("Exact schedules instead of the reference's change no picture visibly") {
    for (const auto& record : records()) {
        const auto pipeline = load_on<Cpu<float>>(FilledDirectory(record["name"]).path(), exact);
        const Generation made =
            pipeline.generate(prompts_of(record["call"]), options_of(record["call"]));
        CHECK(psnr(shown(made.pictures), golden::read_array(record["outputs"]["picture"])) > 60.0);
    }
}

TEST_CASE("Bfloat16 gives the float picture up to its rounding") {
    for (const auto& record : records()) {
        const std::string name = record["name"];
        CAPTURE(name);
        GenerateOptions options = options_of(record["call"]);
        // Random networks magnify rounding. Where they predict noise, the first step divides by
        // 5e-5, and one percent turns a pixel from black to white; where they guide, what two of
        // them differ by is multiplied. So here they predict the sample, unguided: PyTorch then
        // keeps 23 and 37 decibels of these two pictures, and a picture more or less of them says
        // little: of five, the middle one counts. (Trained networks keep more than 30 of theirs.)
        options.prior_guidance_scale = options.decoder_guidance_scale = 1.0;
        const auto picture = [&]<class E>(std::type_identity<E>) {
            auto pipeline = load_on<E>(FilledDirectory(name).path(), exact);
            for (AnySampler* sampler : {&pipeline.decoder.sampler, &pipeline.upsampler.sampler}) {
                NoiseScheduleConfig config = sampler->schedule().config;
                config.prediction_type = PredictionType::sample;
                *sampler = AnySampler{NoiseSchedule(config)};
            }
            return shown(pipeline.generate(prompts_of(record["call"]), options).pictures);
        };
        std::vector<double> decibels;
        for (options.seed = 0; options.seed < 5; ++options.seed)
            decibels.push_back(psnr(picture(std::type_identity<Cpu<bfloat16>>()),
                                    picture(std::type_identity<Cpu<float>>())));
        std::sort(decibels.begin(), decibels.end());
        MESSAGE(name << ": " << decibels[2] << " dB");
        CHECK(decibels[2] > 30.0);
        CHECK(decibels.back() < 100.0);  // it was another engine indeed
    }
}

// With DALLE2_KEEP_MODEL=folder in the environment the directory stays, for check_diffusers.py.
TEST_CASE("A directory that this library writes holds what was loaded, weights and settings") {
    const TemporaryFolder folder;
    const char* keep = std::getenv("DALLE2_KEEP_MODEL");
    const std::filesystem::path written = keep ? keep : folder / "written";
    const FilledDirectory original("guided");
    const ModelDirectory directory(original.path());

    const auto copy = [&]<template <Engine> class Module>(const std::string& part) {
        save_component(written, part, load_component<Module, Reference>(directory, part));
    };
    copy.template operator()<ClipTextEncoder>("text_encoder");
    copy.template operator()<PriorTransformer>("prior");
    copy.template operator()<TextProjection>("text_proj");
    for (const char* unet : {"decoder", "super_res_first", "super_res_last"})
        copy.template operator()<UNet>(unet);
    for (const char* part : {"prior_scheduler", "decoder_scheduler", "super_res_scheduler"})
        save_schedule_config(written, part, load_schedule_config(directory, part));
    ClipTokenizer::from_directory(directory.folder("tokenizer"))
        .save(make_component_folder(written, "tokenizer"));
    write_model_index(written, directory.components());

    const auto record = records().at(0);
    const auto picture = [&](const std::filesystem::path& path) {
        return load_on<Cpu<float>>(path)
            .generate(prompts_of(record["call"]), options_of(record["call"]))
            .pictures;
    };
    CHECK(picture(written) == picture(original.path()));
}
