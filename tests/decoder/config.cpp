#include <doctest/doctest.h>

#include <dalle2/decoder/config.hpp>

using namespace dalle2;

namespace {

// As diffusers 0.33 writes them; the upsampler's as 0.14 did.
Json decoder_json() {
    return Json::parse(
        R"({"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.33.1", "act_fn": "silu",
        "addition_embed_type": null, "addition_embed_type_num_heads": 64, "addition_time_embed_dim": null,
        "attention_head_dim": 64, "attention_type": "default", "block_out_channels": [320, 640, 960, 1280],
        "center_input_sample": false, "class_embed_type": "identity", "class_embeddings_concat": false,
        "conv_in_kernel": 3, "conv_out_kernel": 3, "cross_attention_dim": 1536, "cross_attention_norm": null,
        "down_block_types": ["ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D", "SimpleCrossAttnDownBlock2D",
                             "SimpleCrossAttnDownBlock2D"],
        "downsample_padding": 1, "dropout": 0.0, "dual_cross_attention": false, "encoder_hid_dim": null,
        "encoder_hid_dim_type": null, "flip_sin_to_cos": true, "freq_shift": 0, "in_channels": 3,
        "layers_per_block": 3, "mid_block_only_cross_attention": null, "mid_block_scale_factor": 1,
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn", "norm_eps": 1e-05, "norm_num_groups": 32,
        "num_attention_heads": null, "num_class_embeds": null, "only_cross_attention": false, "out_channels": 6,
        "projection_class_embeddings_input_dim": null, "resnet_out_scale_factor": 1.0,
        "resnet_skip_time_act": false, "resnet_time_scale_shift": "scale_shift",
        "reverse_transformer_layers_per_block": null, "sample_size": 64, "time_cond_proj_dim": null,
        "time_embedding_act_fn": null, "time_embedding_dim": null, "time_embedding_type": "positional",
        "timestep_post_act": null, "transformer_layers_per_block": 1,
        "up_block_types": ["SimpleCrossAttnUpBlock2D", "SimpleCrossAttnUpBlock2D", "SimpleCrossAttnUpBlock2D",
                           "ResnetUpsampleBlock2D"],
        "upcast_attention": false, "use_linear_projection": false})");
}
Json upsampler_json() {
    return Json::parse(
        R"({"_class_name": "UNet2DModel", "_diffusers_version": "0.14.0", "act_fn": "silu",
        "add_attention": false, "attention_head_dim": 8, "block_out_channels": [320, 640, 960, 1280],
        "center_input_sample": false, "class_embed_type": null,
        "down_block_types": ["ResnetDownsampleBlock2D", "ResnetDownsampleBlock2D", "ResnetDownsampleBlock2D",
                             "ResnetDownsampleBlock2D"],
        "downsample_padding": 1, "flip_sin_to_cos": true, "freq_shift": 0, "in_channels": 6, "layers_per_block": 3,
        "mid_block_scale_factor": 1, "norm_eps": 1e-05, "norm_num_groups": 32, "num_class_embeds": null,
        "out_channels": 3, "resnet_time_scale_shift": "default", "sample_size": 256,
        "time_embedding_type": "positional",
        "up_block_types": ["ResnetUpsampleBlock2D", "ResnetUpsampleBlock2D", "ResnetUpsampleBlock2D",
                           "ResnetUpsampleBlock2D"]})");
}

std::string error_of(Json json) {
    try {
        unet_config({std::move(json), "unet/config.json"});
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "";
}
std::string error_with(Json json, const std::string& key, const Json& value) {
    json[key] = value;
    return error_of(json);
}

}  // namespace

TEST_CASE("a decoder's config is read") {
    const UNetConfig c = unet_config({decoder_json(), ""});
    CHECK(c.in_channels == 3);
    CHECK(c.out_channels == 6);
    CHECK(c.sample_size == 64);
    REQUIRE(c.levels.size() == 4);
    CHECK(c.levels[0].channels == 320);
    CHECK(!c.levels[0].down_attention);
    CHECK(!c.levels[0].up_attention);
    CHECK(c.levels[3].channels == 1280);
    CHECK(c.levels[3].down_attention);
    CHECK(c.levels[3].up_attention);
    CHECK(c.levels[1].head_width == 64);
    CHECK(c.layers_per_block == 3);
    CHECK(c.mid_attention);
    CHECK(c.context_width == 1536);
    CHECK(c.norm_num_groups == 32);
    CHECK(c.conditioning == TimeConditioning::scale_shift);
}

TEST_CASE("an upsampler's config is read") {
    const UNetConfig c = unet_config({upsampler_json(), ""});
    CHECK(c.in_channels == 6);
    CHECK(c.out_channels == 3);
    CHECK(c.sample_size == 256);
    CHECK(!c.mid_attention);
    CHECK(c.context_width == 0);
    CHECK(c.conditioning == TimeConditioning::add);
    CHECK(c.sinusoid.flip_sin_to_cos);
}

TEST_CASE("what is written of a UNet is read back the same") {
    UNetConfig decoder = unet_config({decoder_json(), ""});
    decoder.levels = {{6, true, false, 3}, {9, false, true, 9}, {12, true, false, 4}};
    decoder.norm_num_groups = 3;
    decoder.norm_eps = 1e-6;
    decoder.sample_size = 12;
    decoder.layers_per_block = 1;
    decoder.sinusoid = {false, 1};
    decoder.time_width = 100;
    for (const UNetConfig& c :
         {decoder, unet_config({decoder_json(), ""}), unet_config({upsampler_json(), ""})}) {
        const Json written = to_json(c);
        const UNetConfig read = unet_config({written, ""});
        CHECK(Json(to_json(read)) == written);
        REQUIRE(read.levels.size() == c.levels.size());
        for (std::size_t i = 0; i < c.levels.size(); ++i) {
            CHECK(read.levels[i].channels == c.levels[i].channels);
            CHECK(read.levels[i].down_attention == c.levels[i].down_attention);
            CHECK(read.levels[i].up_attention == c.levels[i].up_attention);
            if (c.levels[i].down_attention || c.levels[i].up_attention)
                CHECK(read.levels[i].head_width == c.levels[i].head_width);
        }
        CHECK(read.time_width == c.time_width);
        CHECK(read.sinusoid.freq_shift == c.sinusoid.freq_shift);
        CHECK(read.sinusoid.flip_sin_to_cos == c.sinusoid.flip_sin_to_cos);
        CHECK(read.norm_eps == c.norm_eps);
    }
}

TEST_CASE("head widths that the reference cannot express are an error on writing") {
    UNetConfig c = unet_config({decoder_json(), ""});
    c.levels = {{8}, {12, true, true, 6}};
    CHECK(Json(to_json(c))["attention_head_dim"] == 6);
    c.levels = {{8, false, true, 4}, {12, true, true, 6}};
    CHECK_THROWS_AS(to_json(c), ConfigError);
}

TEST_CASE("a text projection's config is read and written") {
    const Json json =
        Json::parse(R"({"_class_name": "UnCLIPTextProjModel", "_diffusers_version": "0.14.0",
        "clip_embeddings_dim": 768, "clip_extra_context_tokens": 4, "cross_attention_dim": 1536, "time_embed_dim": 1280})");
    const TextProjectionConfig c = text_projection_config({json, ""});
    CHECK(c.clip_embeddings_dim == 768);
    CHECK(c.clip_extra_context_tokens == 4);
    CHECK(c.cross_attention_dim == 1536);
    CHECK(c.time_embed_dim == 1280);
    CHECK(Json(to_json(c)) == json);
    for (const char* key : {"clip_embeddings_dim", "clip_extra_context_tokens",
                            "cross_attention_dim", "time_embed_dim"})
        for (const Json& value : std::vector<Json>{0, -1, 1e12, "x"}) {
            Json wrong = json;
            wrong[key] = value;
            CHECK_THROWS_AS(text_projection_config({wrong, ""}), ConfigError);
        }
}

TEST_CASE("a UNet of another kind is an error that names file, key, value and what is supported") {
    CHECK(error_with(decoder_json(), "act_fn", "gelu") ==
          "unet/config.json: \"act_fn\" is \"gelu\"; supported: \"silu\", \"swish\"");
    const std::vector<std::pair<const char*, Json>> unsupported = {
        {"class_embed_type", "timestep"},
        {"class_embed_type", nullptr},
        {"mid_block_type", "UNetMidBlock2DCrossAttn"},
        {"only_cross_attention", true},
        {"dual_cross_attention", true},
        {"resnet_skip_time_act", true},
        {"resnet_out_scale_factor", 1.4},
        {"conv_in_kernel", 1},
        {"conv_out_kernel", 5},
        {"attention_type", "gated"},
        {"cross_attention_norm", "layer_norm"},
        {"encoder_hid_dim", 5},
        {"addition_embed_type", "text"},
        {"time_embedding_type", "fourier"},
        {"center_input_sample", true},
        {"resnet_time_scale_shift", "ada_group"},
        {"mid_block_scale_factor", 2},
        {"num_class_embeds", 10},
        {"timestep_post_act", "silu"},
        {"_class_name", "UNet3DConditionModel"},
        {"a_new_key", 3},
        {"down_block_types",
         Json::array({"DownBlock2D", "DownBlock2D", "DownBlock2D", "DownBlock2D"})},
        {"down_block_types", Json::array({"ResnetDownsampleBlock2D"})},
        {"num_attention_heads", 8}};
    for (const auto& entry : unsupported) {
        const std::string key = entry.first;
        const std::string error = error_with(decoder_json(), key, entry.second);
        CHECK_MESSAGE(error.starts_with("unet/config.json: "), key, ": ", error);
        CHECK_MESSAGE(error.find(key) != std::string::npos, key, ": ", error);
    }
    CHECK(error_with(upsampler_json(), "add_attention", true) != "");
    CHECK(error_with(upsampler_json(), "class_embed_type", "identity") != "");
    CHECK(error_with(upsampler_json(), "mid_block_type", nullptr) != "");
    CHECK(error_with(upsampler_json(), "mid_block_type", "UNetMidBlock2D") == "");
    Json without = upsampler_json();
    without.erase("add_attention");
    CHECK(error_of(without).find("add_attention") != std::string::npos);
}

TEST_CASE("absurd values of a UNet are errors") {
    for (const char* key :
         {"in_channels", "out_channels", "sample_size", "layers_per_block", "norm_num_groups",
          "cross_attention_dim", "attention_head_dim", "time_embedding_dim"})
        for (const Json& value : std::vector<Json>{0, -1, 1e12, 1000000000000, "12", 2.5}) {
            const std::string error = error_with(decoder_json(), key, value);
            CHECK_MESSAGE(error.find(key) != std::string::npos, key, " ", value.dump(), ": ",
                          error);
        }
    for (const Json& value : std::vector<Json>{
             Json::array(), Json::array({0, 0, 0, 0}), 320, Json::array({320, 640, 960, 1281}),
             Json::array({320, 640, 960, 1000000000000}), Json::array({320, "640", 960, 1280})})
        CHECK_MESSAGE(error_with(decoder_json(), "block_out_channels", value) != "", value.dump());
    CHECK(error_with(decoder_json(), "attention_head_dim", 7).find("attention_head_dim") !=
          std::string::npos);
    CHECK(error_with(decoder_json(), "attention_head_dim", Json::array({64, 64})) != "");
    CHECK(error_with(decoder_json(), "attention_head_dim", Json::array({64, 32, 32, 64})) == "");
    CHECK(error_with(decoder_json(), "attention_head_dim", Json::array({64, 32, 32, 128}))
              .find("down and up") != std::string::npos);
    CHECK(error_with(decoder_json(), "sample_size", 36).find("a multiple of 8") !=
          std::string::npos);
    CHECK(error_with(decoder_json(), "norm_eps", -1) != "");
    CHECK(error_with(decoder_json(), "freq_shift", 1e12) != "");
}
