#include <dalle2/pipeline/load_variations.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "../io/temporary_folder.hpp"
#include "tiny_directory.hpp"

using namespace dalle2;

namespace {

// The tiny model with what prepares pictures, as a model for variations alone unless a prior is
// kept.
struct VariationsModel {
    TemporaryFolder folder;
    explicit VariationsModel(bool with_prior = false) {
        tiny_model::write(folder.path());
        const std::int64_t size = tiny_model::image_encoder<Reference>().config.image_size;
        folder.write("feature_extractor/preprocessor_config.json",
                     Json{{"size", {{"shortest_edge", size}}},
                          {"crop_size", {{"height", size}, {"width", size}}}}
                         .dump());
        Json index = read_json(folder / "model_index.json");
        index["image_encoder"] = {"transformers", "CLIPVisionModelWithProjection"};
        index["feature_extractor"] = {"transformers", "CLIPImageProcessor"};
        if (!with_prior) {
            index["_class_name"] = "UnCLIPImageVariationPipeline";
            index.erase("prior");
            index.erase("prior_scheduler");
            std::filesystem::remove_all(folder / "prior");
        }
        folder.write("model_index.json", index.dump());
    }
};

const Picture picture = [] {
    Picture made = make_picture(31, 17, {200, 30, 40});
    for (std::size_t i = 0; i < made.rgb.size(); i += 7)
        made.rgb[i] = static_cast<std::uint8_t>(i % 251);
    return made;
}();

}  // namespace

TEST_CASE("a picture is varied, by a model with a prior and by one without") {
    const Array expected =
        load_variations(VariationsModel().folder.path(), {.engine = EngineKind::cpu_float})
            .generate({picture}, {.seed = 3})
            .pictures;
    CHECK(shape_of(expected) == Shape{1, tiny_model::large_size, tiny_model::large_size, 3});
    const VariationsModel with_prior(true);
    const VariationsPipeline pipeline =
        load_variations(with_prior.folder.path(), {.engine = EngineKind::cpu_float});
    CHECK(pipeline.generate({picture}, {.seed = 3}).pictures == expected);
    CHECK(pipeline.generate({picture}, {.seed = 4}).pictures != expected);
    CHECK(pipeline.generate({make_picture(8, 8)}, {.seed = 3}).pictures != expected);
    CHECK(pipeline(picture, {.seed = 3}).rgb == picture_from_array(expected).rgb);
    const Array two = pipeline.generate({picture, make_picture(8, 8)}, {.seed = 3}).pictures;
    CHECK(shape_of(two)[0] == 2);
}

TEST_CASE("variations with networks loaded in turn are the same") {
    const VariationsModel model;
    const LoadOptions whole = {.engine = EngineKind::cpu_float};
    LoadOptions in_turn = whole;
    in_turn.residency = Residency::in_turn;
    const VariationsPipeline staged = load_variations(model.folder.path(), in_turn);
    CHECK(staged.residency() == Residency::in_turn);
    CHECK(staged.generate({picture}).pictures ==
          load_variations(model.folder.path(), whole).generate({picture}).pictures);
}

TEST_CASE("a call for variations is checked, and can be stopped") {
    const VariationsModel model;
    const VariationsPipeline pipeline = load_variations(model.folder.path());
    CHECK_THROWS_AS(pipeline.generate(std::vector<Picture>{}), ConfigError);
    CHECK_THROWS_AS(pipeline.generate({picture}, {.decoder_steps = 0}), ConfigError);
    CHECK_THROWS_AS(pipeline.generate({Picture{}}), ShapeError);
    std::stop_source source;
    source.request_stop();
    CHECK_THROWS_AS(pipeline.generate({picture}, {.stop = source.get_token()}), Cancelled);
}

TEST_CASE("an image embedding that is no numbers is an error before any work, and says so") {
    const VariationsModel model;
    const VariationsPipeline pipeline =
        load_variations(model.folder.path(), {.engine = EngineKind::cpu_float});
    int steps = 0;
    const GenerateOptions options = {.progress = [&](const GenerateProgress&) { ++steps; }};
    Array embedding = make_array({2, tiny_model::width}, 0.5f);
    embedding(1, 3) = std::nanf("");
    CHECK_THROWS_WITH_AS(pipeline.generate(embedding, options),
                         doctest::Contains("image embedding: 1 of 24 values "), NumericError);
    CHECK(steps == 0);
    embedding(1, 3) = 0.5f;
    CHECK(shape_of(pipeline.generate(embedding, options).pictures)[0] == 2);
    CHECK(steps > 0);
}

TEST_CASE("an image encoder that gives no numbers is an error that names it") {
    const VariationsModel model;
    auto damaged = tiny_model::image_encoder<Reference>();
    for_each_parameter(damaged, [](const std::string& name, Reference::Parameter& parameter) {
        if (name != "visual_projection.weight") return;
        Array values = Reference::store(parameter);
        values(2, 5) = std::nanf("");
        Reference::load(parameter, values);
    });
    save_component(model.folder.path(), "image_encoder", damaged);
    for (const EngineKind engine : {EngineKind::cpu_float, EngineKind::cpu_bfloat16}) {
        int steps = 0;
        const VariationsPipeline pipeline =
            load_variations(model.folder.path(), {.engine = engine});
        CHECK_THROWS_WITH_AS(
            pipeline.generate({picture}, {.progress = [&](const GenerateProgress&) { ++steps; }}),
            doctest::Contains("image encoder: 1 of 12 values "), NumericError);
        CHECK(steps == 0);
    }
}

TEST_CASE("what a model lacks for variations, or for texts, is named") {
    const VariationsModel without_prior;
    for (const Residency residency : {Residency::whole, Residency::in_turn})
        CHECK_THROWS_WITH_AS(load(without_prior.folder.path(), {.residency = residency}),
                             doctest::Contains("has no prior"), IoError);
    VariationsModel model;
    std::filesystem::remove_all(model.folder / "feature_extractor");
    for (const Residency residency : {Residency::whole, Residency::in_turn})
        CHECK_THROWS_WITH_AS(load_variations(model.folder.path(), {.residency = residency}),
                             doctest::Contains("feature_extractor"), IoError);
    TemporaryFolder texts_alone;
    tiny_model::write(texts_alone.path());
    CHECK_THROWS_WITH_AS(load_variations(texts_alone.path()),
                         doctest::Contains("has no image_encoder"), IoError);
}
