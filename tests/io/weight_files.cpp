#include <dalle2/io/weight_files.hpp>

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "temporary_folder.hpp"

using namespace dalle2;
namespace fs = std::filesystem;

namespace {

constexpr const char* plain = "diffusion_pytorch_model.safetensors";

Array numbers(float first) {
    Array array = make_array({2, 3});
    for (float& value : array) value = first++;
    return array;
}

// Two files and their index.
void write_shards(const TemporaryFolder& folder, const std::string& index = "m.index.json") {
    write_safetensors(folder / "m-1.safetensors", {{"a", numbers(1)}, {"b", numbers(2)}});
    write_safetensors(folder / "m-2.safetensors", {{"c", numbers(3)}});
    folder.write(index, R"({"metadata": {"total_size": 72}, "weight_map":
        {"a": "m-1.safetensors", "b": "m-1.safetensors", "c": "m-2.safetensors"}})");
}

}  // namespace

TEST_CASE("several files with an index are as one") {
    const TemporaryFolder folder;
    write_shards(folder);
    const WeightFiles files(folder / "m.index.json");
    CHECK(files.names() == std::vector<std::string>{"a", "b", "c"});
    CHECK(files.shape("c") == Shape{2, 3});
    CHECK(files.dtype("c") == DType::f32);
    CHECK(files.to_array("a") == numbers(1));
    CHECK(files.to_array("c") == numbers(3));
    CHECK(files.path_of("c") == folder / "m-2.safetensors");
    files.forget("c");
    CHECK(files.to_array("c") == numbers(3));  // read again
    CHECK_FALSE(files.contains("d"));
    CHECK_THROWS_AS(files.shape("d"), FormatError);
    CHECK(WeightFiles(folder / "m-2.safetensors").to_array("c") == numbers(3));
}

TEST_CASE("an index that leads out of its folder, to itself or to nowhere is refused") {
    const TemporaryFolder folder;
    write_shards(folder);
    const auto refused = [&](const std::string& json, const char* reason) {
        CAPTURE(json);
        folder.write("bad.index.json", json);
        CHECK_THROWS_WITH_AS(WeightFiles(folder / "bad.index.json"), doctest::Contains(reason),
                             Error);
    };
    for (const char* file : {"../m-1.safetensors", "/etc/passwd", "..", ".", "",
                             "x/m-1.safetensors", "..\\\\m", "a\\u0000b"})
        refused(R"({"weight_map": {"a": ")" + std::string(file) + "\"}}", "beside the index");
    refused(R"({"weight_map": {"a": 5}})", "beside the index");
    refused(R"({"weight_map": {"a": "bad.index.json"}})", "bad.index.json");
    refused(R"({"weight_map": {"a": "m-3.safetensors"}})", "m-3.safetensors");
    refused(R"({"weight_map": {"a": "m-2.safetensors"}})", "not in m-2.safetensors");
    for (const char* json : {"{}", "[]", "null", "{\"weight_map\": []}", "{\"weight_map\": {}}"})
        refused(json, "weight_map");
    // A tensor that two files have.
    write_safetensors(folder / "m-2.safetensors", {{"c", numbers(3)}, {"a", numbers(4)}});
    CHECK_THROWS_WITH_AS(WeightFiles(folder / "m.index.json"),
                         doctest::Contains("a is in m-1.safetensors and in m-2.safetensors"),
                         FormatError);
}

TEST_CASE("links in a circle are an error") {
    const TemporaryFolder folder;
    fs::create_symlink("b.safetensors", folder / "a.safetensors");
    fs::create_symlink("a.safetensors", folder / "b.safetensors");
    CHECK_THROWS_AS(WeightFiles(folder / "a.safetensors"), IoError);
    fs::create_symlink("m.index.json", folder / "m.index.json");
    CHECK_THROWS_AS(WeightFiles(folder / "m.index.json"), IoError);
}

TEST_CASE("plain files come before variants, one file before several, PyTorch's last") {
    const TemporaryFolder folder;
    const auto found = [&](const std::string& variant = "") {
        return find_weights(folder.path(), plain, variant).path.filename().string();
    };
    CHECK_THROWS_WITH_AS(found(), doctest::Contains(plain), IoError);
    folder.write("diffusion_pytorch_model.safetensors.index.fp16.json", "");
    CHECK(found() == "diffusion_pytorch_model.safetensors.index.fp16.json");
    folder.write("diffusion_pytorch_model.fp16-00001-of-00002.safetensors", "");
    folder.write("diffusion_pytorch_model.fp16.safetensors", "");
    CHECK(found() == "diffusion_pytorch_model.fp16.safetensors");
    CHECK(find_weights(folder.path(), plain).variant == "fp16");
    folder.write("diffusion_pytorch_model.bf16.safetensors", "");
    CHECK_THROWS_WITH_AS(found(), doctest::Contains("the variants bf16, fp16"), IoError);
    CHECK(found("bf16") == "diffusion_pytorch_model.bf16.safetensors");
    folder.write("diffusion_pytorch_model.bin.index.json", "");
    CHECK(found() == "diffusion_pytorch_model.bin.index.json");
    folder.write("diffusion_pytorch_model.bin", "");
    CHECK(found() == "diffusion_pytorch_model.bin");
    folder.write("diffusion_pytorch_model.safetensors.index.json", "");
    CHECK(found() == "diffusion_pytorch_model.safetensors.index.json");
    CHECK(find_weights(folder.path(), plain).sharded);
    folder.write(plain, "");
    CHECK(found() == plain);
    CHECK_THROWS_WITH_AS(found("fp32"), doctest::Contains("model.fp32.safetensors"), IoError);
}

TEST_CASE("the encoders' files have transformers' names") {
    const TemporaryFolder folder;
    folder.write("pytorch_model.bin", "");
    CHECK(find_weights(folder.path(), "model.safetensors").path == folder / "pytorch_model.bin");
    folder.write("model.safetensors", "");
    CHECK(find_weights(folder.path(), "model.safetensors").path == folder / "model.safetensors");
}

TEST_CASE("PyTorch's files are as good, alone and as shards") {
    const TemporaryFolder folder;
    const fs::path checkpoint =
        fs::path(DALLE2_SOURCE_DIR) / "tests/golden/checkpoints/module_protocol_2.bin";
    const WeightFiles one(checkpoint);
    REQUIRE_FALSE(one.names().empty());
    const std::string name = one.names().front();
    fs::copy_file(checkpoint, folder / "a.bin");
    write_safetensors(folder / "b.safetensors", {{"other", numbers(1)}});
    Json index;
    for (const std::string& tensor : one.names()) index["weight_map"][tensor] = "a.bin";
    index["weight_map"]["other"] = "b.safetensors";
    folder.write("model.bin.index.json", index.dump());
    const WeightFiles both(folder / "model.bin.index.json");
    CHECK(both.names().size() == one.names().size() + 1);
    CHECK(both.to_array(name) == one.to_array(name));
    CHECK(both.to_array("other") == numbers(1));
}
