#include <doctest/doctest.h>

#include <dalle2/clip/config.hpp>

using namespace dalle2;

namespace {

// As transformers 4.49 writes it.
Json text_json() {
    return Json::parse(
        R"({"architectures": ["CLIPTextModelWithProjection"], "attention_dropout": 0.0,
        "bos_token_id": 49406, "eos_token_id": 49407, "hidden_act": "quick_gelu", "hidden_size": 768,
        "initializer_factor": 1.0, "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05,
        "max_position_embeddings": 77, "model_type": "clip_text_model", "num_attention_heads": 12,
        "num_hidden_layers": 12, "pad_token_id": 1, "projection_dim": 768, "torch_dtype": "float32",
        "transformers_version": "4.49.0", "vocab_size": 49408})");
}
Json image_json() {
    return Json::parse(R"({"_class_name": "CLIPVisionModelWithProjection", "hidden_size": 1024,
        "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24, "image_size": 224,
        "patch_size": 14, "num_channels": 3, "projection_dim": 768, "hidden_act": "gelu", "layer_norm_eps": 1e-06})");
}

std::string error_of(Json json, bool text) {
    try {
        if (text)
            clip_text_config({std::move(json), "model/config.json"});
        else
            clip_image_config({std::move(json), "model/config.json"});
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "";
}

std::string error_with(const std::string& key, const Json& value, bool text = true) {
    Json json = text ? text_json() : image_json();
    json[key] = value;
    return error_of(json, text);
}

}  // namespace

TEST_CASE("a text encoder's config is read as transformers writes it") {
    const ClipTextConfig c = clip_text_config({text_json(), "config.json"});
    CHECK(c.encoder.hidden_size == 768);
    CHECK(c.encoder.intermediate_size == 3072);
    CHECK(c.encoder.num_attention_heads == 12);
    CHECK(c.encoder.num_hidden_layers == 12);
    CHECK(c.encoder.hidden_act == Activation::quick_gelu);
    CHECK(c.encoder.layer_norm_eps == 1e-5);
    CHECK(c.vocab_size == 49408);
    CHECK(c.max_position_embeddings == 77);
    CHECK(c.projection_dim == 768);
    CHECK(c.eos_token_id == 49407);
}

TEST_CASE("an image encoder's config is read as transformers writes it") {
    const ClipImageConfig c = clip_image_config({image_json(), "config.json"});
    CHECK(c.image_size == 224);
    CHECK(c.patch_size == 14);
    CHECK(c.num_channels == 3);
    CHECK(c.projection_dim == 768);
    CHECK(c.encoder.hidden_act == Activation::gelu);
    CHECK(c.encoder.layer_norm_eps == 1e-6);
}

TEST_CASE("what is written is read back the same") {
    ClipTextConfig text = clip_text_config({text_json(), ""});
    text.encoder = {15, 20, 3, 2, Activation::gelu, 1e-6};
    text.eos_token_id = 2;
    const Json written = to_json(text);
    CHECK(Json(to_json(clip_text_config({written, ""}))) == written);
    CHECK(written["hidden_act"] == "gelu");
    CHECK(written["layer_norm_eps"] == 1e-6);
    ClipImageConfig image = clip_image_config({image_json(), ""});
    image.num_channels = 1;
    const Json written_image = to_json(image);
    CHECK(Json(to_json(clip_image_config({written_image, ""}))) == written_image);
    CHECK(written_image["num_channels"] == 1);
}

TEST_CASE("keys that change the result and are not supported are errors that say so") {
    CHECK(error_with("hidden_act", "relu") ==
          "model/config.json, key hidden_act: activation \"relu\" is not supported; supported are "
          "\"silu\", \"gelu\" and "
          "\"quick_gelu\"");
    CHECK(error_with("model_type", "bert") ==
          "model/config.json: \"model_type\" is \"bert\"; supported: \"clip_text_model\"");
    CHECK(error_with("rope_theta", 10000) != "");
    CHECK(error_with("use_something", true) != "");
    CHECK(error_with("some_new_feature", nullptr) == "");
    CHECK(error_with("attention_dropout", 0.1) == "");
}

TEST_CASE("absurd values are errors") {
    for (const char* key :
         {"hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers",
          "vocab_size", "max_position_embeddings", "projection_dim"})
        for (const Json& value :
             std::vector<Json>{0, -1, 1e12, 1000000000000, 1.5, "12", true, Json::array({1})})
            CHECK_MESSAGE(error_with(key, value).find(key) != std::string::npos, key, " ",
                          value.dump());
    for (const char* key : {"image_size", "patch_size", "num_channels"})
        for (const Json& value : std::vector<Json>{0, -1, 1e12, "12"})
            CHECK_MESSAGE(error_with(key, value, false).find(key) != std::string::npos, key, " ",
                          value.dump());
    CHECK(error_with("num_attention_heads", 7).find("a divisor of hidden_size, 768") !=
          std::string::npos);
    CHECK(error_with("patch_size", 225, false) != "");
    CHECK(error_with("layer_norm_eps", -1e-5) != "");
    CHECK_THROWS_AS(clip_text_config({Json::array(), "x"}), FormatError);
}

TEST_CASE("absent values are transformers' defaults, those of ViT-B/32") {
    const ClipTextConfig text = clip_text_config({Json::object(), ""});
    CHECK(Json(to_json(text)) == Json::parse(R"({"architectures": ["CLIPTextModelWithProjection"],
        "model_type": "clip_text_model", "attention_dropout": 0.0, "hidden_act": "quick_gelu", "hidden_size": 512,
        "intermediate_size": 2048, "layer_norm_eps": 1e-05, "num_attention_heads": 8, "num_hidden_layers": 12,
        "eos_token_id": 49407, "max_position_embeddings": 77, "projection_dim": 512, "vocab_size": 49408})"));
    const ClipImageConfig image = clip_image_config({Json::object(), ""});
    CHECK(Json(to_json(image)) ==
          Json::parse(R"({"architectures": ["CLIPVisionModelWithProjection"],
        "model_type": "clip_vision_model", "attention_dropout": 0.0, "hidden_act": "quick_gelu", "hidden_size": 768,
        "intermediate_size": 3072, "layer_norm_eps": 1e-05, "num_attention_heads": 12, "num_hidden_layers": 12,
        "image_size": 224, "num_channels": 3, "patch_size": 32, "projection_dim": 512})"));
}

TEST_CASE("the config of both encoders is one file, of which the older keys count") {
    const ClipConfig c = clip_config(
        {Json::parse(
             R"({"model_type": "clip", "projection_dim": 30, "logit_scale_init_value": 2.6592,
            "text_config": {"hidden_size": 64, "num_attention_heads": 4, "projection_dim": 7},
            "text_config_dict": {"hidden_size": 32, "eos_token_id": 2},
            "vision_config": {"patch_size": 14}, "vision_config_dict": null,
            "transformers_version": null, "torch_dtype": "float32", "initializer_factor": 1.0})"),
         "config.json"});
    CHECK(c.text.encoder.hidden_size == 32);
    CHECK(c.text.encoder.num_attention_heads == 8);
    CHECK(c.text.eos_token_id == 2);
    CHECK(c.text.projection_dim == 30);
    CHECK(c.image.projection_dim == 30);
    CHECK(c.image.patch_size == 14);
    CHECK(Json(to_json(clip_config({to_json(c), ""}))) == Json(to_json(c)));
    const auto error = [](const char* json) -> std::string {
        try {
            clip_config({Json::parse(json), "config.json"});
        } catch (const ConfigError& refused) {
            return refused.what();
        }
        return "";
    };
    CHECK(error(R"({"text_config": {"hidden_act": "relu"}})").find("text_config") !=
          std::string::npos);
    CHECK(error(R"({"vision_config": {"rope": 3}})").find("rope") != std::string::npos);
    CHECK(error(R"({"model_type": "siglip"})").find("siglip") != std::string::npos);
    CHECK(error(R"({"text_config": 3})").find("text_config") != std::string::npos);
    CHECK(error(R"({"fusion": 3})").find("fusion") != std::string::npos);
}
