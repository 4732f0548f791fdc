#include <dalle2/io/model_directory.hpp>

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "temporary_folder.hpp"

using namespace dalle2;

TEST_CASE("a directory that was written is read, with its components in their order") {
    TemporaryFolder folder;
    const auto model = folder / "model";
    write_model_index(model, {"decoder", "tokenizer", "prior_scheduler"});
    for (const char* name : {"decoder", "tokenizer", "prior_scheduler"})
        make_component_folder(model, name);
    folder.write("model/decoder/config.json", "{}");
    folder.write("model/decoder/diffusion_pytorch_model.safetensors", "");
    const ModelDirectory directory(model);
    CHECK(directory.components() ==
          std::vector<std::string>{"tokenizer", "prior_scheduler", "decoder"});
    CHECK(directory.has("decoder"));
    CHECK_FALSE(directory.has("prior"));
    CHECK(directory.config_path("decoder") == model / "decoder" / "config.json");
    CHECK(directory.weights_path("decoder") ==
          model / "decoder" / "diffusion_pytorch_model.safetensors");
    CHECK(directory.folder("tokenizer") == model / "tokenizer");
    CHECK_THROWS_AS(directory.weights_path("tokenizer"), ConfigError);
    CHECK_THROWS_AS(directory.folder("../decoder"), ConfigError);
}

TEST_CASE("the index of a public checkpoint is understood") {
    TemporaryFolder folder;
    folder.write("model_index.json",
                 R"({"_class_name": "UnCLIPPipeline", "_diffusers_version": "0.15.0.dev0",
        "decoder": ["diffusers", "UNet2DConditionModel"], "decoder_scheduler": ["diffusers", "UnCLIPScheduler"],
        "prior": ["diffusers", "PriorTransformer"], "prior_scheduler": ["diffusers", "UnCLIPScheduler"],
        "super_res_first": ["diffusers", "UNet2DModel"], "super_res_last": ["diffusers", "UNet2DModel"],
        "super_res_scheduler": ["diffusers", "UnCLIPScheduler"],
        "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
        "text_proj": ["unclip", "UnCLIPTextProjModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
        "image_encoder": [null, null]})");
    const ModelDirectory directory(folder.path());
    CHECK(directory.components().size() == 10);
    CHECK_FALSE(directory.has("image_encoder"));
}

TEST_CASE("a directory that is missing, a file, or without an index is an IoError that says so") {
    TemporaryFolder folder;
    CHECK_THROWS_WITH_AS(ModelDirectory(folder / "none"), doctest::Contains("no such directory"),
                         IoError);
    CHECK_THROWS_WITH_AS(ModelDirectory(folder.path()), doctest::Contains("model_index.json"),
                         IoError);
    folder.write("file", "x");
    CHECK_THROWS_WITH_AS(ModelDirectory(folder / "file"), doctest::Contains("it is a file"),
                         IoError);
    CHECK_THROWS_AS(ModelDirectory(""), IoError);
}

TEST_CASE("a missing component or file is an IoError that names it") {
    TemporaryFolder folder;
    write_model_index(folder.path(), {"prior"});
    const ModelDirectory directory(folder.path());
    CHECK_THROWS_WITH_AS(directory.folder("decoder"), doctest::Contains("no decoder"), IoError);
    CHECK_THROWS_WITH_AS(directory.config_path("prior"), doctest::Contains("folder prior"),
                         IoError);
    make_component_folder(folder.path(), "prior");
    CHECK_THROWS_WITH_AS(directory.config_path("prior"), doctest::Contains("prior/config.json"),
                         IoError);
    CHECK_THROWS_WITH_AS(directory.weights_path("prior"),
                         doctest::Contains("prior/diffusion_pytorch_model.safetensors"), IoError);
    folder.write("prior/diffusion_pytorch_model.fp16.safetensors", "");
    folder.write("prior/diffusion_pytorch_model.bf16.safetensors", "");
    CHECK_THROWS_WITH_AS(directory.weights_path("prior"), doctest::Contains("bf16, fp16"), IoError);
    CHECK(ModelDirectory(folder.path(), "fp16").weights_path("prior") ==
          folder / "prior/diffusion_pytorch_model.fp16.safetensors");
}

TEST_CASE("an index of another pipeline, or with unknown parts, is refused") {
    TemporaryFolder folder;
    const auto refused = [&](const char* text, const char* reason) {
        folder.write("model_index.json", text);
        CHECK_THROWS_WITH_AS(ModelDirectory(folder.path()), doctest::Contains(reason), ConfigError);
    };
    refused(R"({})", "_class_name is null");
    refused(R"({"_class_name": "StableDiffusionPipeline"})", "StableDiffusionPipeline");
    refused(R"({"_class_name": 5})", "_class_name is 5");
    refused(R"({"_class_name": "UnCLIPPipeline", "vae": ["diffusers", "AutoencoderKL"]})", "vae");
    refused(R"({"_class_name": "UnCLIPPipeline", "prior": ["diffusers", "UNet2DModel"]})",
            "PriorTransformer");
    refused(R"({"_class_name": "UnCLIPPipeline", "prior": "PriorTransformer"})", "expected");
    refused(R"({"_class_name": "UnCLIPPipeline", "prior": []})", "expected");
    refused(R"({"_class_name": "UnCLIPPipeline", "prior": ["diffusers"]})", "expected");
    refused(R"({"_class_name": "UnCLIPPipeline", "prior": [1, 2]})", "expected");
    for (const char* text : {"", "{", "[]", "null"}) {
        folder.write("model_index.json", text);
        CHECK_THROWS_AS(ModelDirectory(folder.path()), FormatError);
    }
    CHECK_THROWS_AS(write_model_index(folder / "m", {"vae"}), ConfigError);
    CHECK_THROWS_AS(write_model_index(folder / "model_index.json/m", {}), IoError);
    CHECK_THROWS_AS(make_component_folder(folder / "model_index.json", "prior"), IoError);
}
