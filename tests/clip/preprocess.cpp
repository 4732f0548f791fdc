// Preprocessing against transformers' CLIPImageProcessor, bit for bit.
#include <doctest/doctest.h>

#include <string>

#include <dalle2/clip/preprocess.hpp>

#include "../golden/golden_files.hpp"
#include "../golden/synthetic.hpp"

using namespace dalle2;

namespace {

std::string error_of(const char* json) {
    try {
        clip_preprocessor_config(Json::parse(json), "preprocessor_config.json");
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

ClipPreprocessor preprocessor(const char* json) {
    return ClipPreprocessor(clip_preprocessor_config(Json::parse(json), "file"));
}

}  // namespace

TEST_CASE("pictures become the numbers of the reference, for every way to state the settings") {
    const auto records = golden::read_json(golden::folder() / "preprocess.json")["preprocess"];
    REQUIRE(records.size() > 15);
    for (const auto& record : records) {
        const std::string config = record["config"].dump();
        CAPTURE(config);
        const Array made =
            preprocessor(config.c_str())(golden::synthetic(record["width"], record["height"]));
        Array expected = golden::read_array(record);
        expected = reshaped(expected, {1, shape_of(expected)[0], shape_of(expected)[1], 3});
        REQUIRE(shape_of(made) == shape_of(expected));
        CHECK(made == expected);
    }
}

TEST_CASE("absent settings are those of the public models") {
    const ClipPreprocessorConfig c = clip_preprocessor_config(Json::object(), "file");
    CHECK(c.shortest_edge == 224);
    CHECK(c.crop_height == 224);
    CHECK(c.resample == Resampling::bicubic);
    CHECK(c.image_mean == clip_image_mean);
    CHECK(shape_of(ClipPreprocessor()(golden::synthetic(300, 10))) == Shape{1, 224, 224, 3});
}

TEST_CASE("files of feature extractors, of image processors and of later versions are read") {
    CHECK(error_of(
              R"({"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224,
        "resample": 3, "do_resize": true, "do_center_crop": true, "do_normalize": true,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]})") == "");
    CHECK(error_of(
              R"({"image_processor_type": "CLIPImageProcessorFast", "data_format": "channels_first",
        "device": null, "input_data_format": null, "do_convert_rgb": null, "processor_class": "CLIPProcessor",
        "_valid_processor_keys": ["images"], "size": {"shortest_edge": 224, "longest_edge": 300}})") ==
          "");
}

TEST_CASE("what is not supported or out of range is an error that names it") {
    for (const char* json :
         {R"({"resample": 6})", R"({"resample": "bicubic"})", R"({"size": {"longest_edge": 3}})",
          R"({"size": {"shortest_edge": 0}})", R"({"size": "224"})", R"({"size": {"height": 3}})",
          R"({"size": {"shortest_edge": 3, "what": 4}})", R"({"crop_size": {"shortest_edge": 3}})",
          R"({"crop_size": -1})", R"({"image_mean": [0.5, 0.5]})", R"({"image_std": [1, 1, 0]})",
          R"({"image_mean": 0.5})", R"({"do_pad": true})", R"({"rescale_factor": "1"})",
          R"({"image_processor_type": "ViTImageProcessor"})"}) {
        CAPTURE(json);
        const std::string key = Json::parse(json).begin().key();
        CHECK(error_of(json).find(key) != std::string::npos);
    }
    CHECK_THROWS_AS(clip_preprocessor_config(Json::array(), "file"), FormatError);
}

TEST_CASE("pictures that cannot be are errors, very narrow ones are not") {
    CHECK_THROWS_AS(ClipPreprocessor()(Picture{}), ShapeError);
    CHECK(shape_of(ClipPreprocessor()(make_picture(1, 60000))) == Shape{1, 224, 224, 3});
    CHECK_THROWS_AS(preprocessor(R"({"do_center_crop": false})")(make_picture(1, 60000)),
                    ShapeError);
}
