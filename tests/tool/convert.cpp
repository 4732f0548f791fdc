#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <dalle2/io/picture.hpp>
#include <dalle2/io/weight_files.hpp>

#include "running.hpp"

namespace fs = std::filesystem;

namespace {

const std::string shipped = DALLE2_SOURCE_DIR "/examples/models/emoji-scenes";

// Of a file without its header.
std::uintmax_t tensor_bytes(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::uint64_t header = 0;  // little-endian, as every processor here
    file.read(reinterpret_cast<char*>(&header), sizeof header);
    return fs::file_size(path) - sizeof header - header;
}

// What a file should take: a byte for each value that is int8 and a float for each of its outputs,
// the others as in the same file of bfloat16.
std::uintmax_t int8_bytes(const fs::path& path, const fs::path& half_path) {
    const dalle2::WeightFiles small(path), half(half_path);
    CHECK(small.names().size() == half.names().size());
    std::uintmax_t sum = 0;
    for (const std::string& name : half.names()) {
        const dalle2::Shape& shape = half.shape(name);
        const auto count = static_cast<std::uintmax_t>(dalle2::element_count(shape));
        sum += small.is_int8(name) ? count + 4 * static_cast<std::uintmax_t>(shape[0]) : 2 * count;
    }
    return sum;
}

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

TEST_CASE("a model in int8 is half the size of bfloat16 and draws nearly the same picture") {
    const TemporaryFolder folder;
    const Run made = run(folder, "convert " + shipped + " small --int8");
    REQUIRE_MESSAGE(made.status == 0, made.err);
    CHECK(made.out.find("decoder") != std::string::npos);
    CHECK(made.out.find("small: 7 networks converted") != std::string::npos);
    REQUIRE(run(folder, "convert " + shipped + " half --dtype bfloat16").status == 0);
    double small_bytes = 0, half_bytes = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder / "half")) {
        if (entry.path().extension() != ".safetensors") continue;
        const fs::path path = folder / "small" / fs::relative(entry.path(), folder / "half");
        CAPTURE(path.string());
        const std::uintmax_t bytes = int8_bytes(path, entry.path());
        CHECK(tensor_bytes(path) == bytes);
        small_bytes += static_cast<double>(bytes);
        half_bytes += static_cast<double>(tensor_bytes(entry.path()));
    }
    CHECK(half_bytes > 10e6);
    // Half, but for scales and for what stays in bfloat16: the vocabulary's table and layers
    // outside of blocks, an eighth of so small a model.
    CHECK(small_bytes / half_bytes > 0.5);
    CHECK(small_bytes / half_bytes < 0.58);
    const dalle2::WeightFiles decoder(folder / "small/decoder/diffusion_pytorch_model.safetensors");
    CHECK(decoder.is_int8("up_blocks.0.resnets.0.conv1.weight"));
    CHECK(!decoder.is_int8("conv_in.weight"));
    CHECK(!decoder.is_int8("conv_out.weight"));

    const auto draw = [&](const std::string& model, const std::string& engine) {
        const std::string file = fs::path(model).filename().string() + "-" + engine + ".png";
        const Run drawn = run(folder, "generate 'a red apple' --engine " + engine + " --model " +
                                          model + " -o " + file);
        REQUIRE_MESSAGE(drawn.status == 0, drawn.err);
        return dalle2::read_picture(folder / file);
    };
    const dalle2::Picture expected = draw(shipped, "float32");
    const auto difference = [&](const dalle2::Picture& found) {
        REQUIRE(found.rgb.size() == expected.rgb.size());
        double sum = 0;
        for (std::size_t i = 0; i < found.rgb.size(); ++i)
            sum += std::abs(static_cast<double>(found.rgb[i]) - expected.rgb[i]);
        return sum / static_cast<double>(found.rgb.size());
    };
    // Mean differences of the 255 steps of a colour; another picture is far from it.
    CHECK(difference(draw(shipped, "int8")) < 8);
    CHECK(difference(draw("small", "int8")) < 8);
    CHECK(difference(draw("small", "float32")) < 8);
    CHECK(difference(draw("small", "bfloat16")) < 8);
    CHECK(run(folder, "convert " + shipped + "/decoder alone --int8").status != 0);
}

TEST_CASE("a packed model draws the same picture, and becomes an ordinary one again") {
    const TemporaryFolder folder;
    const auto convert = [&](const std::string& arguments) {
        const Run made = run(folder, "convert " + arguments);
        REQUIRE_MESSAGE(made.status == 0, made.err);
    };
    const auto draw = [&](const std::string& model, const std::string& engine) {
        const Run drawn = run(folder, "generate 'a red apple' --engine " + engine + " --model " +
                                          model + " -o out.png");
        REQUIRE_MESSAGE(drawn.status == 0, drawn.err);
        CHECK(drawn.err.find("warning") == std::string::npos);
        return dalle2::read_picture(folder / "out.png");
    };
    convert(shipped + " ready --packed");
    convert(shipped + " exact --packed --dtype float32");
    CHECK(draw("ready", "bfloat16") == draw(shipped, "bfloat16"));
    CHECK(draw("exact", "float32") == draw(shipped, "float32"));
    CHECK(draw("exact", "bfloat16") == draw(shipped, "bfloat16"));
    CHECK(draw("ready", "int8") == draw(shipped, "int8"));
    convert(shipped + " small --int8");
    convert("small small-ready --packed");
    CHECK(draw("small-ready", "int8") == draw("small", "int8"));
    convert("small-ready small-again");
    CHECK(draw("small-again", "int8") == draw("small", "int8"));
    convert("exact again --dtype float32");
    CHECK(draw("again", "float32") == draw(shipped, "float32"));
    CHECK(run(folder, "info ready").out.find(", packed") != std::string::npos);
    CHECK(run(folder, "info again").out.find(", packed") == std::string::npos);

    const auto label = [&](const std::string& model) {
        const Run made = run(folder, "classify out.png --labels 'an apple,a wolf' --model " + model);
        REQUIRE_MESSAGE(made.status == 0, made.err);
        return made.out;
    };
    CHECK(label("exact") == label(shipped));

    // Not a wrong picture.
    const fs::path file = folder / "ready/decoder/diffusion_pytorch_model.safetensors";
    std::fstream damaged(file, std::ios::binary | std::ios::in | std::ios::out);
    damaged.seekg(static_cast<std::streamoff>(fs::file_size(file) / 2));
    const int byte = damaged.get();
    damaged.seekp(static_cast<std::streamoff>(fs::file_size(file) / 2));
    damaged.put(static_cast<char>(byte ^ 4));
    damaged.close();
    const Run drawn = run(folder, "generate 'a red apple' --model ready -o out.png");
    CHECK(drawn.status != 0);
    CHECK(drawn.err.find("error: ready/decoder/diffusion_pytorch_model.safetensors: the tensor ") !=
          std::string::npos);
    CHECK(drawn.err.find(" is damaged: ") != std::string::npos);
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
                                          shipped + " out --packed --max-shard-size 3MB",
                                          shipped + " out --packed --dtype float16",
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
