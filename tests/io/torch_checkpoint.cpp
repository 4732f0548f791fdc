#include <dalle2/io/torch_checkpoint.hpp>

#include <doctest/doctest.h>

#include <map>
#include <string>

#include "../golden/golden_files.hpp"
#include "temporary_folder.hpp"

using namespace dalle2;

namespace {

std::filesystem::path checkpoint(const std::string& name) {
    return golden::folder() / "checkpoints" / name;
}

// PyTorch's names of the element types.
const std::map<std::string, DType> dtypes = {
    {"float64", DType::f64},         {"float32", DType::f32},
    {"float16", DType::f16},         {"bfloat16", DType::bf16},
    {"int64", DType::i64},           {"int32", DType::i32},
    {"int16", DType::i16},           {"int8", DType::i8},
    {"uint64", DType::u64},          {"uint32", DType::u32},
    {"uint16", DType::u16},          {"uint8", DType::u8},
    {"bool", DType::boolean},        {"float8_e4m3fn", DType::f8_e4m3},
    {"float8_e5m2", DType::f8_e5m2},
};

void check_tensors(const TorchCheckpoint& file, const nlohmann::json& expected) {
    CHECK(file.names().size() == expected.size());
    for (const auto& [name, tensor] : expected.items()) {
        CAPTURE(name);
        REQUIRE(file.contains(name));
        CHECK(file.shape(name) == tensor["shape"].get<Shape>());
        CHECK(file.dtype(name) == dtypes.at(tensor["dtype"].get<std::string>()));
        const TensorView view = file.view(name);
        CHECK(view.bytes.size() == tensor["values"].size() * size_of(view.dtype));
        const Array values = file.to_array(name);
        REQUIRE(values.size() == tensor["values"].size());
        for (std::size_t i = 0; i < values.size(); ++i)
            REQUIRE(values.data()[i] == tensor["values"][i].get<float>());
    }
}

}  // namespace

TEST_CASE("what PyTorch saved is read as PyTorch reads it") {
    const nlohmann::json golden = golden::read_json(golden::folder() / "checkpoints.json");
    REQUIRE(golden["good"].size() >= 9);
    for (const auto& [name, tensors] : golden["good"].items()) {
        CAPTURE(name);
        check_tensors(TorchCheckpoint(checkpoint(name)), tensors);
    }
}

TEST_CASE("what is not a checkpoint of weights is refused, and the message says what it is") {
    const nlohmann::json golden = golden::read_json(golden::folder() / "checkpoints.json");
    REQUIRE(golden["refused"].size() >= 20);
    for (const auto& [name, texts] : golden["refused"].items()) {
        CAPTURE(name);
        std::string message;
        try {
            const TorchCheckpoint file(checkpoint(name));
            for (const std::string& tensor : file.names()) (void)file.view(tensor);
        } catch (const FormatError& error) {
            message = error.what();
        }
        CAPTURE(message);
        CHECK(message.find(name) != std::string::npos);
        for (const auto& text : texts)
            CHECK(message.find(text.get<std::string>()) != std::string::npos);
    }
}

TEST_CASE("tied weights share their bytes, and a contiguous tensor is not copied") {
    const TorchCheckpoint file(checkpoint("module_protocol_2.bin"));
    const TensorView embedding = file.view("embedding.weight"), head = file.view("head.weight");
    CHECK(embedding.bytes.data() == head.bytes.data());
    CHECK(embedding.bytes.size() == head.bytes.size());
    CHECK_FALSE(embedding.owner);
    const TorchCheckpoint views(checkpoint("views.pt"));
    CHECK_FALSE(views.view("row").owner);
    CHECK_FALSE(views.view("position_ids").owner);
    CHECK(views.view("transposed").owner);
    CHECK(views.view("expanded").owner);
}

TEST_CASE("a view of a tensor that is not contiguous outlives its file") {
    TensorView view;
    {
        const TorchCheckpoint file(checkpoint("views.pt"));
        view = file.view("transposed");
    }
    CHECK(to_array(view)(0, 0, 1) == 12 - 7.5f);
}

TEST_CASE("a tensor's pages can be let go of and are read again") {
    const TorchCheckpoint file(checkpoint("views.pt"));
    for (const std::string& name : file.names()) file.forget(name);
    CHECK(file.to_array("row")(0) == 20 - 7.5f);
    CHECK_THROWS_WITH_AS(file.forget("none"), doctest::Contains("none"), FormatError);
}

TEST_CASE("files of other kinds are called what they are") {
    TemporaryFolder folder;
    const auto refused = [&](const std::string& bytes, const char* text) {
        folder.write("x.bin", bytes);
        CHECK_THROWS_WITH_AS(TorchCheckpoint(folder / "x.bin"), doctest::Contains(text),
                             FormatError);
    };
    refused("", "zip");
    refused("PK\x03\x04", "short");
    refused("version https://git-lfs.github.com/spec/v1\n", "git lfs pull");
    refused(std::string("\x02\0\0\0\0\0\0\0{}", 10) + "data", "safetensors");
    CHECK_THROWS_AS(TorchCheckpoint(folder / "none.bin"), IoError);
    CHECK_THROWS_AS(TorchCheckpoint(folder.path()), IoError);
}
