#include <dalle2/io/convert_weights.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "temporary_folder.hpp"

using namespace dalle2;

namespace {

Array numbers(std::int64_t count, float first) {
    Array array = make_array({count});
    for (float& value : array) value = (first += 0.123f);
    return array;
}

// Three tensors of floats and one of integers.
void write_source(const TemporaryFolder& folder) {
    SafetensorsWriter writer(folder / "source.safetensors", {{"a", {10}, DType::f32},
                                                             {"ids", {3}, DType::i64},
                                                             {"b", {20}, DType::f32},
                                                             {"c", {5}, DType::f16}});
    const std::int64_t ids[3] = {1, -2, std::int64_t{1} << 60};
    writer.add(numbers(10, 0));
    writer.add_bytes(std::as_bytes(std::span(ids)));
    writer.add(numbers(20, 1));
    writer.add(numbers(5, 2));
    writer.commit();
}

WeightFiles source(const TemporaryFolder& folder) {
    return WeightFiles(folder / "source.safetensors");
}

std::int64_t last_id(const WeightFiles& files) {
    std::int64_t ids[3];
    std::memcpy(ids, files.view("ids").bytes.data(), sizeof ids);
    return ids[2];
}

}  // namespace

TEST_CASE("without a type every byte is kept") {
    const TemporaryFolder folder;
    write_source(folder);
    convert_weights(source(folder), folder.path(), "model");
    CHECK(folder.read("model.safetensors") == folder.read("source.safetensors"));
}

TEST_CASE("floats become what is asked for, integers stay") {
    const TemporaryFolder folder;
    write_source(folder);
    for (const DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16}) {
        convert_weights(source(folder), folder.path(), "model", {.dtype = dtype});
        const WeightFiles made(folder / "model.safetensors");
        CHECK(made.names() == source(folder).names());
        CHECK(made.dtype("a") == dtype);
        CHECK(made.dtype("c") == dtype);
        CHECK(made.dtype("ids") == DType::i64);
        CHECK(last_id(made) == std::int64_t{1} << 60);
        const double step = dtype == DType::bf16 ? 0x1p-8 : dtype == DType::f16 ? 0x1p-11 : 0;
        const Array values = made.to_array("b"), expected = numbers(20, 1);
        for (std::size_t i = 0; i < values.size(); ++i)
            CHECK(std::abs(values.data()[i] - expected.data()[i]) <= step * expected.data()[i]);
    }
    for (const DType dtype : {DType::i32, DType::f8_e4m3})
        CHECK_THROWS_AS(convert_weights(source(folder), folder.path(), "model", {.dtype = dtype}),
                        ConfigError);
}

TEST_CASE("no file is larger than was asked for, and the index names each tensor's") {
    const TemporaryFolder folder;
    write_source(folder);
    convert_weights(source(folder), folder / ".", "model",
                    {.max_shard_size = 70, .variant = "fp16"});
    const Json index = read_json(folder / "model.safetensors.index.fp16.json");
    CHECK(index["metadata"]["total_size"] == 40 + 24 + 80 + 10);
    // a and ids fit together; b is larger than any file may be, and alone.
    CHECK(index["weight_map"]["a"] == "model.fp16-00001-of-00003.safetensors");
    CHECK(index["weight_map"]["ids"] == "model.fp16-00001-of-00003.safetensors");
    CHECK(index["weight_map"]["b"] == "model.fp16-00002-of-00003.safetensors");
    CHECK(index["weight_map"]["c"] == "model.fp16-00003-of-00003.safetensors");
    const WeightLocation found = find_weights(folder.path(), "model.safetensors");
    CHECK(found.sharded);
    const WeightFiles made(found.path);
    for (const std::string& name : made.names())
        CHECK(made.to_array(name) == source(folder).to_array(name));
    // Back into one.
    convert_weights(made, folder.path(), "again");
    CHECK(folder.read("again.safetensors") == folder.read("source.safetensors"));
}

TEST_CASE("numbers beyond the new type's range are told") {
    const TemporaryFolder folder;
    Array large = make_array({4});
    large(0) = 65504;
    large(1) = 65519.996f;  // the last that is rounded down
    large(2) = -65520;
    large(3) = HUGE_VALF;  // was infinite before
    write_safetensors(folder / "source.safetensors", {{"large", large}, {"b", numbers(2, 0)}});
    std::vector<std::string> told;
    const ConvertOptions half = {.dtype = DType::f16,
                                 .warn = [&](const std::string& text) { told.push_back(text); }};
    convert_weights(source(folder), folder.path(), "model", half);
    REQUIRE(told.size() == 1);
    CHECK(told[0] == "the tensor large has 1 values beyond the range of F16; they became infinite");
    const Array made = WeightFiles(folder / "model.safetensors").to_array("large");
    CHECK(made(1) == 65504);
    CHECK(std::isinf(made(2)));
}
