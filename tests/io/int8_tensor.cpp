// Weights of int8 in files: written, read as floats, and what damaged ones meet.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <dalle2/engine/cpu_int8.hpp>
#include <dalle2/engine/reference.hpp>
#include <dalle2/io/convert_weights.hpp>
#include <dalle2/io/int8_tensor.hpp>
#include <dalle2/io/weights.hpp>
#include <dalle2/nn/layers.hpp>

#include "normal_values.hpp"
#include "temporary_folder.hpp"

using namespace dalle2;

namespace {

void write_two_weights(const TemporaryFolder& folder) {
    write_safetensors(folder / "source.safetensors", {{"weight", normal_values({6, 5, 3, 3}, 1)},
                                                      {"bias", normal_values({6}, 2)}});
}
WeightFiles two_weights(const TemporaryFolder& folder) {
    return WeightFiles(folder / "source.safetensors");
}

// weight.safetensors with a weight of I8 and a tensor of scales.
void write_int8(const TemporaryFolder& folder, const std::string& scale_name,
                const Shape& scale_shape, DType scale_dtype, float scale) {
    SafetensorsWriter writer(folder / "model.safetensors", {{"weight", {2, 3}, DType::i8},
                                                            {scale_name, scale_shape, scale_dtype},
                                                            {"bias", {2}, DType::f32}});
    const std::int8_t values[6] = {127, -127, 0, 1, 2, 3};
    writer.add_bytes(std::as_bytes(std::span(values)));
    if (scale_dtype == DType::i32) {
        const std::vector<std::int32_t> scales(static_cast<std::size_t>(element_count(scale_shape)),
                                               1);
        writer.add_bytes(std::as_bytes(std::span(scales)));
    } else {
        writer.add(make_array(scale_shape, scale));
    }
    writer.add(make_array({2}, 1.0f));
    writer.commit();
}

// What loading model.safetensors says.
template <Engine E>
std::string load_error(const TemporaryFolder& folder) {
    Linear<E> module(3, 2);
    try {
        load_weights<E>(module, folder / "model.safetensors");
    } catch (const FormatError& error) {
        return error.what();
    }
    return "";
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

// A module whose output comes from `last`.
template <Engine E>
struct Two {
    Linear<E> of_block{64, 128}, last{128, 128};

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("blocks.0", self.of_block);
        visitor("last", self.last);
    }
};

}  // namespace

TEST_CASE("a weight of int8 is its whole numbers times their scales") {
    const TemporaryFolder folder;
    write_int8(folder, "weight_scale", {2}, DType::f32, 0.5f);
    const WeightFiles files(folder / "model.safetensors");
    CHECK(files.names() == std::vector<std::string>{"weight", "bias"});
    CHECK(files.is_int8("weight"));
    CHECK(!files.is_int8("bias"));
    CHECK(files.made_for_int8());
    const Array weight = files.to_array("weight");
    CHECK(weight == Array{{63.5f, -63.5f, 0.0f}, {0.5f, 1.0f, 1.5f}});
    CHECK(files.to_array("bias") == make_array({2}, 1.0f));

    Linear<Reference> reference(3, 2);
    load_weights<Reference>(reference, folder / "model.safetensors");
    CHECK(Reference::store(reference.weight) == weight);
    Linear<Cpu<std::int8_t>> fast(3, 2);
    load_weights<Cpu<std::int8_t>>(fast, folder / "model.safetensors");
    CHECK(fast.weight.is_int8());
}

TEST_CASE("each row of a weight of int8 has its own scale, for every engine") {
    const TemporaryFolder folder;
    const Array weight = normal_values({35, 70}, 1);
    Array scaled = weight;
    for (std::int64_t o = 0; o < 35; ++o)
        for (std::int64_t i = 0; i < 70; ++i) scaled(o, i) *= static_cast<float>(o + 1);
    write_safetensors(folder / "source.safetensors",
                      {{"weight", scaled}, {"bias", normal_values({35}, 2)}});
    convert_weights(two_weights(folder), folder.path(), "int8",
                    {.int8 = std::set<std::string>{"weight"}});
    const WeightFiles files(folder / "int8.safetensors");
    const Array expected = files.to_array("weight");
    const auto check = [&]<Engine E>(std::type_identity<E>, float relative_error) {
        Linear<E> linear(70, 35);
        load_weights<E>(linear, files);
        const Array found = E::store(linear.weight);
        for (std::int64_t o = 0; o < 35; ++o)
            for (std::int64_t i = 0; i < 70; ++i)
                CHECK(std::abs(found(o, i) - expected(o, i)) <=
                      relative_error * std::abs(expected(o, i)));
        return linear;
    };
    check(std::type_identity<Reference>(), 0);
    check(std::type_identity<Cpu<float>>(), 0);
    check(std::type_identity<Cpu<bfloat16>>(), 0x1p-8f);
    CHECK(check(std::type_identity<Cpu<std::int8_t>>(), 1e-6f).weight.is_int8());
}

TEST_CASE("of weights that nobody measured those of a network's blocks become int8") {
    const TemporaryFolder folder;
    Array first = normal_values({128, 64}, 1);
    const auto load = [&] {
        write_safetensors(folder / "model.safetensors",
                          {{"blocks.0.weight", first},
                           {"blocks.0.bias", normal_values({128}, 2)},
                           {"last.weight", normal_values({128, 128}, 3)},
                           {"last.bias", normal_values({128}, 4)}});
        Two<Cpu<std::int8_t>> two;
        std::string warnings;
        load_weights<Cpu<std::int8_t>>(two, WeightFiles(folder / "model.safetensors"),
                                       [&](const std::string& text) { warnings += text; });
        return std::pair(two, warnings);
    };
    const auto [usual, silence] = load();
    CHECK(usual.of_block.weight.is_int8());
    CHECK(!usual.last.weight.is_int8());
    CHECK(silence.empty());
    first(100, 5) = std::nanf("");
    const auto [damaged, warnings] = load();
    CHECK(!damaged.of_block.weight.is_int8());
    CHECK(contains(warnings, "blocks.0.weight contains 1 values"));
}

TEST_CASE("scales that are missing, misshapen, of another type or no numbers are errors") {
    const TemporaryFolder folder;
    write_int8(folder, "other", {2}, DType::f32, 0.5f);
    CHECK(contains(load_error<Reference>(folder), "weight_scale"));
    CHECK(contains(load_error<Cpu<std::int8_t>>(folder), "weight_scale"));
    write_int8(folder, "weight_scale", {3}, DType::f32, 0.5f);
    CHECK(contains(load_error<Reference>(folder),
                   "weight_scale is F32 [3], expected F32, BF16 or F16 [2]"));
    write_int8(folder, "weight_scale", {2, 1}, DType::f32, 0.5f);
    CHECK(contains(load_error<Reference>(folder), "weight_scale is F32 [2, 1]"));
    write_int8(folder, "weight_scale", {2}, DType::i32, 0.5f);
    CHECK(contains(load_error<Reference>(folder), "weight_scale is I32 [2]"));
    for (const float scale : {0.0f, -1.0f, std::numeric_limits<float>::infinity(), std::nanf("")}) {
        CAPTURE(scale);
        write_int8(folder, "weight_scale", {2}, DType::f32, scale);
        CHECK(contains(load_error<Reference>(folder), "weight_scale: the scale of output 0"));
        CHECK(
            contains(load_error<Cpu<std::int8_t>>(folder), "weight_scale: the scale of output 0"));
    }
    // Scales without a weight of int8 are a tensor that no one knows.
    write_safetensors(folder / "model.safetensors", {{"weight", make_array({2, 3})},
                                                     {"weight_scale", make_array({2})},
                                                     {"bias", make_array({2})}});
    CHECK(contains(load_error<Reference>(folder), "1 unknown (weight_scale)"));
}

TEST_CASE("converted to int8 weights keep 40 dB, in one file and in several, and back") {
    const TemporaryFolder folder;
    write_two_weights(folder);
    const Array before = two_weights(folder).to_array("weight");
    for (const std::uint64_t size : {0, 40}) {
        convert_weights(two_weights(folder), folder.path(), "int8",
                        {.dtype = DType::bf16,
                         .max_shard_size = size,
                         .int8 = std::set<std::string>{"weight"}});
        const std::string index = size ? "int8.safetensors.index.json" : "int8.safetensors";
        const WeightFiles made(folder / index);
        CHECK(made.names() == std::vector<std::string>{"weight", "bias"});
        CHECK(made.dtype("weight") == DType::i8);
        CHECK(made.dtype("bias") == DType::bf16);
        const Array after = made.to_array("weight");
        double signal = 0, error = 0;
        for (std::size_t i = 0; i < before.size(); ++i) {
            const double difference = double{after.data()[i]} - double{before.data()[i]};
            signal += double{before.data()[i]} * double{before.data()[i]};
            error += difference * difference;
        }
        CHECK(decibels(signal, error) > 40);

        // Kept as they are, or as floats again.
        convert_weights(made, folder.path(), "kept");
        const WeightFiles kept(folder / "kept.safetensors");
        CHECK(kept.is_int8("weight"));
        CHECK(kept.to_array("weight") == after);
        convert_weights(made, folder.path(), "floats", {.dtype = DType::f32});
        const WeightFiles floats(folder / "floats.safetensors");
        CHECK(floats.dtype("weight") == DType::f32);
        CHECK(!floats.made_for_int8());
        CHECK(floats.to_array("weight") == after);
    }
}

TEST_CASE("weights that are int8 already are copied, bytes and scales") {
    const TemporaryFolder folder;
    // As another program may have rounded them: no output's largest is 127.
    const std::int8_t values[6] = {100, -128, 3, 0, 1, -2};
    for (const DType scale_type : {DType::f32, DType::bf16}) {
        SafetensorsWriter writer(folder / "source.safetensors",
                                 {{"weight", {2, 3}, DType::i8},
                                  {"weight_scale", {2}, scale_type},
                                  {"bias", {2}, DType::f32}},
                                 {{int8_metadata_key, int8_metadata_text}});
        writer.add_bytes(std::as_bytes(std::span(values)));
        writer.add(make_array({2}, 0.3f));
        writer.add(make_array({2}, 1.0f));
        writer.commit();
        const auto check_kept = [&](const ConvertOptions& options) {
            convert_weights(two_weights(folder), folder.path(), "kept", options);
            const WeightFiles kept(folder / "kept.safetensors");
            REQUIRE(kept.is_int8("weight"));
            CHECK(kept.dtype("weight_scale") == scale_type);
            for (const char* name : {"weight", "weight_scale"})
                CHECK(std::ranges::equal(kept.view(name).bytes,
                                         two_weights(folder).view(name).bytes));
            CHECK(kept.to_array("weight") == two_weights(folder).to_array("weight"));
        };
        check_kept({});
        check_kept({.int8 = std::set<std::string>{"weight"}});
        check_kept({.dtype = DType::bf16, .int8 = std::set<std::string>{"weight", "other"}});
    }
}

TEST_CASE("scales in another file of several are named with their own file") {
    const TemporaryFolder folder;
    SafetensorsWriter writer(folder / "a.safetensors", {{"weight", {1, 2}, DType::i8}});
    const std::int8_t values[2] = {1, 2};
    writer.add_bytes(std::as_bytes(std::span(values)));
    writer.commit();
    write_safetensors(folder / "b.safetensors", {{"weight_scale", make_array({1}, -1.0f)}});
    folder.write("model.safetensors.index.json",
                 R"({"weight_map": {"weight": "a.safetensors", "weight_scale": "b.safetensors"}})");
    const WeightFiles files(folder / "model.safetensors.index.json");
    CHECK_THROWS_WITH_AS(files.to_array("weight"),
                         doctest::Contains("b.safetensors: the tensor weight_scale"), FormatError);
}

TEST_CASE("a file made for int8 says so even where no weight is") {
    const TemporaryFolder folder;
    write_two_weights(folder);
    convert_weights(two_weights(folder), folder.path(), "int8", {.int8 = std::set<std::string>()});
    const WeightFiles made(folder / "int8.safetensors");
    CHECK(made.made_for_int8());
    CHECK(!made.is_int8("weight"));
    CHECK(!two_weights(folder).made_for_int8());
}

TEST_CASE("weights that are not finite cannot become int8") {
    const TemporaryFolder folder;
    Array weight = normal_values({3, 4}, 1);
    weight(1, 2) = std::numeric_limits<float>::infinity();
    write_safetensors(folder / "source.safetensors", {{"weight", weight}});
    CHECK_THROWS_AS(convert_weights(two_weights(folder), folder.path(), "int8",
                                    {.int8 = std::set<std::string>{"weight"}}),
                    FormatError);
}
