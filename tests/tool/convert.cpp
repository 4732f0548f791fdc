#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include <dalle2/io/picture.hpp>
#include <dalle2/io/weight_files.hpp>

#include "running.hpp"

namespace fs = std::filesystem;

namespace {

const std::string shipped = DALLE2_SOURCE_DIR "/examples/models/emoji-scenes";

}  // namespace

TEST_CASE(
    "a converted model draws the same pictures, in one file, in several and from them again") {
    const TemporaryFolder folder;
    const Run parts = run(folder, "convert " + shipped + " parts --max-shard-size 3MB");
    REQUIRE_MESSAGE(parts.status == 0, parts.err);
    CHECK(parts.out.starts_with("parts: 7 networks converted"));
    CHECK(fs::exists(folder / "parts/decoder/diffusion_pytorch_model.safetensors.index.json"));
    CHECK(fs::exists(folder / "parts/text_encoder/model-00001-of-00002.safetensors"));
    REQUIRE(run(folder, "convert parts whole/ --dtype float32 --as-variant fp32").status == 0);
    CHECK(fs::exists(folder / "whole/text_encoder/model.fp32.safetensors"));
    for (const std::string& model : {shipped, std::string("parts"), std::string("whole")})
        REQUIRE(run(folder, "generate 'a red apple' --engine float32 --model " + model + " -o " +
                                fs::path(model).filename().string() + ".png")
                    .status == 0);
    const dalle2::Picture expected = dalle2::read_picture(folder / "emoji-scenes.png");
    CHECK(dalle2::read_picture(folder / "parts.png") == expected);
    CHECK(dalle2::read_picture(folder / "whole.png") == expected);
}

TEST_CASE("a file of weights becomes another") {
    const TemporaryFolder folder;
    const std::string checkpoint =
        DALLE2_SOURCE_DIR "/tests/golden/checkpoints/module_protocol_2.bin";
    const Run made = run(folder, "convert " + checkpoint + " a.safetensors --dtype bfloat16");
    REQUIRE_MESSAGE(made.status == 0, made.err);
    const dalle2::WeightFiles before(checkpoint), after(folder / "a.safetensors");
    CHECK(after.names().size() == before.names().size());
    for (const std::string& name : before.names()) CHECK(after.shape(name) == before.shape(name));
}

TEST_CASE("convert refuses what it cannot do, and leaves nothing") {
    const TemporaryFolder folder;
    folder.write("full/file", "x");
    folder.write("empty.safetensors", "");
    const std::vector<std::string> all = {"none out",
                                          shipped + " full",
                                          "full out",
                                          "full full/out",
                                          shipped + " out --dtype int8",
                                          shipped + " out --max-shard-size 3XB",
                                          shipped + " out --max-shard-size -1",
                                          "empty.safetensors out",
                                          "empty.safetensors out.safetensors",
                                          shipped + " out --as-variant a/b",
                                          shipped + " out --variant fp16"};
    for (const std::string& arguments : all) {
        CAPTURE(arguments);
        const Run made = run(folder, "convert " + arguments);
        CHECK(made.status != 0);
        CHECK(is_one_error_line(made.err));
    }
    CHECK(folder.file_count() == 3);  // full, its file, the empty one
}
