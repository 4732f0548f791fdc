#include <doctest/doctest.h>

#include <dalle2/prior/config.hpp>

using namespace dalle2;

namespace {

// As diffusers 0.33 writes it.
Json newest() {
    return Json::parse(
        R"({"_class_name": "PriorTransformer", "_diffusers_version": "0.33.1", "added_emb_type": "prd",
        "additional_embeddings": 4, "attention_head_dim": 64, "clip_embed_dim": null, "dropout": 0.0,
        "embedding_dim": 768, "embedding_proj_dim": null, "embedding_proj_norm_type": null,
        "encoder_hid_proj_type": "linear", "norm_in_type": null, "num_attention_heads": 32, "num_embeddings": 77,
        "num_layers": 20, "time_embed_act_fn": "silu", "time_embed_dim": null})");
}

std::string error_with(const std::string& key, const Json& value) {
    Json json = newest();
    json[key] = value;
    try {
        prior_config({std::move(json), "prior/config.json"});
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("a prior's config is read in the oldest and the newest form") {
    const Json oldest =
        Json::parse(R"({"_class_name": "PriorTransformer", "_diffusers_version": "0.14.0",
        "additional_embeddings": 4, "attention_head_dim": 64, "dropout": 0.0, "embedding_dim": 768,
        "num_attention_heads": 32, "num_embeddings": 77, "num_layers": 20})");
    const PriorConfig c = prior_config({newest(), ""});
    CHECK(c.embedding_dim == 768);
    CHECK(c.num_attention_heads == 32);
    CHECK(c.attention_head_dim == 64);
    CHECK(c.num_layers == 20);
    CHECK(c.num_embeddings == 77);
    CHECK(Json(to_json(c)) == oldest);
    CHECK(Json(to_json(prior_config({oldest, ""}))) == oldest);
}

TEST_CASE("a prior of another kind is an error that names file, key, value and what is supported") {
    CHECK(error_with("added_emb_type", nullptr) ==
          "prior/config.json: \"added_emb_type\" is null; supported: \"prd\"");
    CHECK(error_with("norm_in_type", "layer") != "");
    CHECK(error_with("embedding_proj_norm_type", "layer") != "");
    CHECK(error_with("encoder_hid_proj_type", nullptr) != "");
    CHECK(error_with("additional_embeddings", 6) != "");
    CHECK(error_with("time_embed_act_fn", "gelu") != "");
    CHECK(error_with("embedding_proj_dim", 1280) != "");
    CHECK(error_with("clip_embed_dim", 1280) != "");
    CHECK(error_with("time_embed_dim", 1024) != "");
    CHECK(error_with("time_embed_dim", 2048) == "");
    CHECK(error_with("_class_name", "UNet2DModel") != "");
    CHECK(error_with("something_new", 1) != "");
}

TEST_CASE("absurd values of a prior are errors") {
    for (const char* key : {"embedding_dim", "num_attention_heads", "attention_head_dim",
                            "num_layers", "num_embeddings"})
        for (const Json& value : std::vector<Json>{0, -1, 1e12, 1000000000000, "12"})
            CHECK_MESSAGE(error_with(key, value).find(key) != std::string::npos, key, " ",
                          value.dump());
}
