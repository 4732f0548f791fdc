// Weights in the order of the CPU engines: written, used where they lie, read by every engine, and
// what damaged files meet.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <dalle2/engine/cpu_int8.hpp>
#include <dalle2/engine/reference.hpp>
#include <dalle2/io/check_sum.hpp>
#include <dalle2/io/packed_file.hpp>
#include <dalle2/io/weights.hpp>
#include <dalle2/io/write_packed.hpp>
#include <dalle2/kernels/isa.hpp>
#include <dalle2/nn/layers.hpp>

#include "normal_values.hpp"
#include "temporary_folder.hpp"

using namespace dalle2;

namespace {

// A convolution and a linear layer of odd sizes, and a table.
template <Engine E>
struct Parts {
    Conv2d<E> conv{5, 19, 3, {}};
    Linear<E> linear{35, 18};
    typename E::Parameter table{Shape{7, 6}, ParameterKind::table};

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("blocks.0.conv", self.conv);
        visitor("linear", self.linear);
        visitor("embeddings.token_embedding.weight", self.table);
    }
};

// A layer of a network's blocks, large enough to gain by int8.
template <Engine E>
struct Block {
    Linear<E> linear{64, 128};

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("blocks.0", self.linear);
    }
};

const std::vector<std::pair<std::string, Shape>> packed_parts = {
    {"blocks.0.conv.weight", {19, 5, 3, 3}},
    {"blocks.0.conv.bias", {19}},
    {"linear.weight", {18, 35}},
    {"linear.bias", {18}},
    {"embeddings.token_embedding.weight", {7, 6}}};

struct Files {
    TemporaryFolder folder;

    explicit Files(const std::function<void(const std::string&, Array&)>& change = nullptr) {
        std::vector<std::pair<std::string, Array>> arrays;
        unsigned seed = 0;
        for (const auto& [name, shape] : packed_parts) {
            arrays.emplace_back(name, normal_values(shape, ++seed));
            if (change) change(name, arrays.back().second);
        }
        write_safetensors(folder / "plain.safetensors", arrays);
    }
    WeightFiles plain() const { return WeightFiles(folder / "plain.safetensors"); }
    WeightFiles pack(const ConvertOptions& options = {}) const {
        write_packed(plain(), folder.path(), "packed", options);
        return WeightFiles(folder / "packed.safetensors");
    }
    std::string bytes() const {
        std::ifstream file(folder / "packed.safetensors", std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }
};

template <Engine E>
Parts<E> loaded(const WeightFiles& file) {
    Parts<E> parts;
    load_weights<E>(parts, file);
    return parts;
}

// All values, as the engine holds them.
template <Engine E>
std::vector<Array> values_of(const Parts<E>& parts) {
    std::vector<Array> values;
    for_each_parameter(parts, [&](const std::string&, const auto& parameter) {
        values.push_back(E::store(parameter));
    });
    return values;
}

const ConvertOptions int8_convolution = {.int8 = std::set<std::string>{"blocks.0.conv.weight"}};

}  // namespace

TEST_CASE("packed weights are what the file was made of, in name, shape and value") {
    const Files files;
    const WeightFiles plain = files.plain();
    for (const DType dtype : {DType::bf16, DType::f32}) {
        const WeightFiles packed = files.pack({.dtype = dtype});
        std::vector<std::string> names = packed.names(), expected = plain.names();
        std::sort(names.begin(), names.end());
        std::sort(expected.begin(), expected.end());
        CHECK(names == expected);
        for (const auto& [name, shape] : packed_parts) {
            CAPTURE(name);
            CHECK(packed.shape(name) == shape);
            const bool weight = name == "blocks.0.conv.weight" || name == "linear.weight";
            CHECK(packed.is_packed(name) == weight);
            CHECK(packed.dtype(name) == (shape.size() == 1 ? DType::f32 : dtype));
            Array values = plain.to_array(name);
            if (packed.dtype(name) == DType::bf16)
                for (float& value : values)
                    value = static_cast<float>(static_cast<bfloat16>(value));
            CHECK(packed.to_array(name) == values);
        }
    }
}

TEST_CASE_TEMPLATE("an engine uses packed weights where they lie, and every engine reads them", E,
                   Cpu<float>, Cpu<bfloat16>, Reference) {
    const Files files;
    using Scalar = std::conditional_t<std::is_same_v<E, Cpu<bfloat16>>, bfloat16, float>;
    for (const DType dtype : {DType::bf16, DType::f32}) {
        std::optional<WeightFiles> packed = files.pack({.dtype = dtype});
        const Parts<E> parts = loaded<E>(*packed);
        std::vector<Array> expected;
        for (const auto& [name, shape] : packed_parts) {
            expected.push_back(packed->to_array(name));
            if (std::is_same_v<Scalar, bfloat16> && shape.size() > 1)
                for (float& value : expected.back())
                    value = static_cast<float>(static_cast<bfloat16>(value));
        }
        if constexpr (!std::is_same_v<E, Reference>) {
            const auto weights = packed->packed("linear.weight");
            const auto* in_file = std::get_if<kernels::PackedWeights<Scalar>>(&*weights);
            CHECK((in_file != nullptr) ==
                  (dtype == (std::is_same_v<Scalar, float> ? DType::f32 : DType::bf16)));
            CHECK((in_file && in_file->data() == parts.linear.weight.packed().data()) ==
                  (in_file != nullptr));
        }
        packed.reset();  // what is used stays
        CHECK(values_of(parts) == expected);
    }
}

TEST_CASE("packed int8 is the int8 that loading makes of the same weights") {
    const Files files;
    using E = Cpu<std::int8_t>;
    convert_weights(files.plain(), files.folder.path(), "int8", int8_convolution);
    const Parts<E> expected = loaded<E>(WeightFiles(files.folder / "int8.safetensors"));
    const WeightFiles packed = files.pack(int8_convolution);
    CHECK(packed.is_int8("blocks.0.conv.weight"));
    CHECK(packed.made_for_int8());
    const Parts<E> parts = loaded<E>(packed);
    REQUIRE(parts.conv.weight.is_int8());
    CHECK(!parts.linear.weight.is_int8());
    const kernels::Int8Weights &a = parts.conv.weight.int8(), &b = expected.conv.weight.int8();
    REQUIRE(a.packed().bytes() == b.packed().bytes());
    CHECK(std::equal(a.packed().data(), a.packed().data() + a.packed().bytes(), b.packed().data()));
    CHECK(std::equal(a.scales(), a.scales() + 32, b.scales()));
    CHECK(std::equal(a.sums(), a.sums() + 32, b.sums()));
    CHECK(a.packed().data() ==
          std::get<kernels::Int8Weights>(*packed.packed("blocks.0.conv.weight")).packed().data());
    CHECK(values_of(parts)[2] == values_of(expected)[2]);

    // Packed from int8, and from packed.
    const std::string bytes = files.bytes();
    write_packed(WeightFiles(files.folder / "int8.safetensors"), files.folder.path(), "packed");
    CHECK(files.bytes() == bytes);
    write_packed(packed, files.folder.path(), "packed");
    CHECK(files.bytes() == bytes);
    // And back.
    convert_weights(packed, files.folder.path(), "back");
    const WeightFiles back(files.folder / "back.safetensors"),
        int8(files.folder / "int8.safetensors");
    for (const std::string& name : int8.names())
        if (int8.is_int8(name)) {
            CHECK(back.is_int8(name));
            CHECK(back.to_array(name) == int8.to_array(name));
        }
    // Other engines multiply by floats.
    CHECK(values_of(loaded<Reference>(packed))[0] == packed.to_array("blocks.0.conv.weight"));
}

TEST_CASE("the int8 engine still decides about packed weights that nobody has measured") {
    const TemporaryFolder folder;
    write_safetensors(folder / "plain.safetensors",
                      {{"blocks.0.weight", normal_values({128, 64}, 1)},
                       {"blocks.0.bias", normal_values({128}, 2)}});
    write_packed(WeightFiles(folder / "plain.safetensors"), folder.path(), "packed");
    Block<Cpu<std::int8_t>> block;
    load_weights<Cpu<std::int8_t>>(block, WeightFiles(folder / "packed.safetensors"));
    CHECK(block.linear.weight.is_int8());
}

TEST_CASE("the order of packed weights is the same for every instruction set") {
    const Files files;
    std::string first;
    for (const kernels::Isa isa : kernels::all_isas) {
        if (!kernels::available(isa)) continue;
        const kernels::ForcedIsa forced(isa);
        files.pack(int8_convolution);
        if (first.empty()) first = files.bytes();
        CHECK(files.bytes() == first);
    }
}

TEST_CASE("packed weights that no kernel could read from their place are copied") {
    const Files files;
    files.pack();
    std::string bytes = files.bytes();
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    bytes.insert(sizeof length + length, 8, ' ');
    length += 8;
    std::memcpy(bytes.data(), &length, sizeof length);
    files.folder.write("packed.safetensors", bytes);
    const WeightFiles packed(files.folder / "packed.safetensors");
    CHECK(!packed.packed("linear.weight"));
    CHECK(values_of(loaded<Cpu<bfloat16>>(packed)) ==
          values_of(loaded<Cpu<bfloat16>>(files.plain())));
}

TEST_CASE("a packed file that another program made by the description is read") {
    const WeightFiles file(DALLE2_SOURCE_DIR "/tests/fuzz/seeds/safetensors/packed");
    CHECK(file.names() == std::vector<std::string>{"b", "i", "bias"});
    const Array b = file.to_array("b"), i = file.to_array("i");
    REQUIRE(shape_of(b) == Shape{18, 5});
    REQUIRE(shape_of(i) == Shape{2, 3, 2, 2});
    for (std::size_t at = 0; at < b.size(); ++at)
        CHECK(b.data()[at] == (static_cast<float>(at) - 40) / 8);
    for (std::size_t at = 0; at < i.size(); ++at)
        CHECK(i.data()[at] == (static_cast<float>(at) * 5 - 60) * (at < 12 ? 0.5f : 2.0f));
    CHECK(file.to_array("bias") == Array{1.0f, -2.0f, 0.1f});
    const auto packed = file.packed("i");
    const auto& weights = std::get<kernels::Int8Weights>(*packed);
    file.check("i");
    CHECK(weights.sums()[0] == -390);
    CHECK(weights.sums()[1] == 330);
    CHECK(weights.sums()[2] == 0);
}

TEST_CASE("scales of packed int8 that are no positive numbers are refused") {
    const Files files;
    files.pack(int8_convolution);
    std::string bytes = files.bytes();
    // The scales follow the weights; their sum is the first of the third row of the checks.
    std::uint64_t header = 0;
    std::memcpy(&header, bytes.data(), sizeof header);
    const std::size_t begin = sizeof header + header;
    const SafetensorsFile file(files.folder / "packed.safetensors");
    const std::string name = "blocks.0.conv.weight_scale";
    const std::vector<std::string> names = file.names();
    const auto row =
        static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
    const auto offset_of = [&](const std::string& tensor) {
        return static_cast<std::size_t>(
            file.view(tensor).bytes.data() -
            reinterpret_cast<const std::byte*>(file.mapping()->bytes().data()));
    };
    CHECK(offset_of(packed_checks_name) > begin);
    const float bad = -1;
    std::memcpy(bytes.data() + offset_of(name), &bad, sizeof bad);
    const std::uint64_t sum =
        check_sum(std::as_bytes(std::span(bytes.data() + offset_of(name), 19 * sizeof(float))));
    std::memcpy(bytes.data() + offset_of(packed_checks_name) + 16 * row, &sum, sizeof sum);
    files.folder.write("bad.safetensors", bytes);
    CHECK_THROWS_WITH_AS(loaded<Cpu<std::int8_t>>(WeightFiles(files.folder / "bad.safetensors")),
                         doctest::Contains("expected a positive number"), FormatError);
}

TEST_CASE("weights are packed from halves, from PyTorch's files, and what is none stays") {
    const TemporaryFolder folder;
    Array halves = normal_values({32, 48}, 1), scalar = make_array({}, 1e-3f);
    SafetensorsWriter writer(folder / "plain.safetensors", {{"w", {32, 48}, DType::f16},
                                                            {"scalar", {}, DType::f16},
                                                            {"none", {0, 4}, DType::f32},
                                                            {"ids", {3}, DType::i64},
                                                            {"mean", {1, 6}, DType::f32}});
    writer.add(halves);
    writer.add(scalar);
    writer.add(make_array({0, 4}));
    const std::int64_t ids[3] = {1, -2, 3};
    writer.add_bytes(std::as_bytes(std::span(ids)));
    writer.add(normal_values({1, 6}, 2));
    writer.commit();
    const WeightFiles plain(folder / "plain.safetensors");
    write_packed(plain, folder.path(), "packed");
    const WeightFiles packed(folder / "packed.safetensors");
    CHECK(packed.is_packed("w"));
    for (const char* name : {"scalar", "none", "ids", "mean"}) {
        CHECK(!packed.is_packed(name));
        CHECK(packed.to_array(name) == plain.to_array(name));
    }
    CHECK(packed.dtype("ids") == DType::i64);
    Linear<Cpu<bfloat16>> a(48, 32, false), b(48, 32, false);
    Cpu<bfloat16>::load(a.weight, plain.to_array("w"));
    REQUIRE(Cpu<bfloat16>::load_packed(b.weight, *packed.packed("w"), {}));
    CHECK(std::equal(a.weight.packed().data(), a.weight.packed().data() + 32 * 48,
                     b.weight.packed().data()));

    const WeightFiles checkpoint(DALLE2_SOURCE_DIR
                                 "/tests/golden/checkpoints/module_protocol_2.bin");
    write_packed(checkpoint, folder.path(), "exact", {.dtype = DType::f32});
    const WeightFiles exact(folder / "exact.safetensors");
    for (const std::string& name : checkpoint.names())
        CHECK(exact.to_array(name) == checkpoint.to_array(name));
}

TEST_CASE("a flipped bit of a packed file is found wherever it is") {
    const Files files;
    files.pack(int8_convolution);
    const std::string good = files.bytes();
    std::uint64_t header = 0;
    std::memcpy(&header, good.data(), sizeof header);
    const auto error_of = [&](const std::string& bytes) -> std::string {
        files.folder.write("packed.safetensors", bytes);
        try {
            loaded<Cpu<std::int8_t>>(WeightFiles(files.folder / "packed.safetensors"));
        } catch (const FormatError& error) {
            return error.what();
        }
        return "";
    };
    CHECK(error_of(good).empty());
    for (std::size_t at = sizeof header + header; at < good.size(); ++at) {
        CAPTURE(at);
        std::string bytes = good;
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << at % 8));
        const std::string error = error_of(bytes);
        // Of the checks, the halves that count what is not finite are no part of a sum.
        const std::size_t from_end = good.size() - at;
        if (from_end <= 7 * 16 && (from_end - 1) / 8 % 2 == 0) continue;
        CHECK(error.find("is damaged") != std::string::npos);
    }
    CHECK(error_of(good.substr(0, good.size() - 1)).find("cut off?") != std::string::npos);
}

TEST_CASE("packed files that contradict themselves are refused with what, where and why") {
    const Files files;
    files.pack(int8_convolution);
    const std::string good = files.bytes();
    // In the header, keeping its length.
    const auto error_of = [&](const std::string& from, const std::string& to) -> std::string {
        std::string bytes = good;
        const std::size_t at = bytes.find(from);
        REQUIRE(at != std::string::npos);
        REQUIRE(from.size() == to.size());
        bytes.replace(at, from.size(), to);
        files.folder.write("packed.safetensors", bytes);
        try {
            WeightFiles(files.folder / "packed.safetensors");
        } catch (const FormatError& error) {
            return error.what();
        }
        return "";
    };
    const auto says = [&](const std::string& from, const std::string& to, const char* part) {
        CAPTURE(from);
        const std::string error = error_of(from, to);
        CAPTURE(error);
        CHECK(error.find("packed.safetensors") != std::string::npos);
        CHECK(error.find(part) != std::string::npos);
    };
    says("\\\"version\\\":1", "\\\"version\\\":2", "another version");
    says("\\\"version\\\":1", "\\\"versiom\\\":1", "another version");
    says("\\\"shapes\\\"", "\\\"shape_\\\"", "no \"shapes\"");
    says("[19,5,3,3]", "[19,5,3,4]", "expected I8");
    says("[19,5,3,3]", "[19,5,3,0]", "expected two or four extents");
    says("[19,5,3,3]", "[19,5,333]", "expected two or four extents");
    says("[18,35]", "[9e9,5]", "expected two or four extents");
    says("\\\"linear.weight\\\"", "\\\"lineal.weight\\\"", "is not there");
    says("blocks.0.conv.weight_sum", "blocks.0.conv.weight_sun", "is not there");
    says("blocks.0.conv.weight_scale", "blocks.0.conv.weight_scald", "is not there");
    says("packed_checks", "packed_chocks", "is not there");
    says("{\\\"version", "[\\\"version", "packed");
}

TEST_CASE("what is not finite is a warning when packed weights are loaded, and an error in int8") {
    const Files files([](const std::string& name, Array& values) {
        if (name == "linear.weight") values.data()[3] = std::numeric_limits<float>::quiet_NaN();
        if (name == "linear.bias") values.data()[1] = std::numeric_limits<float>::infinity();
    });
    const WeightFiles packed = files.pack();
    Parts<Cpu<bfloat16>> parts;
    std::vector<std::string> warnings;
    load_weights<Cpu<bfloat16>>(parts, packed,
                                [&](const std::string& text) { warnings.push_back(text); });
    REQUIRE(warnings.size() == 2);
    CHECK(warnings[0].find("linear.weight contains 1 values") != std::string::npos);
    CHECK(warnings[1].find("linear.bias contains 1 values") != std::string::npos);
    CHECK_THROWS_WITH_AS(files.pack({.int8 = std::set<std::string>{"linear.weight"}}),
                         doctest::Contains("which int8 cannot hold"), FormatError);
}

TEST_CASE("weights are packed for the engines that multiply, one file for a network") {
    const Files files;
    CHECK_THROWS_WITH_AS(files.pack({.dtype = DType::f16}),
                         doctest::Contains("no engine multiplies"), ConfigError);
    CHECK_THROWS_AS(files.pack({.max_shard_size = 1000}), ConfigError);
}

TEST_CASE("a check sum tells any two bytes that differ, and where they stand") {
    std::vector<std::byte> bytes((std::size_t{1} << 20) + 71);
    std::mt19937 generator(1);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(generator());
    const std::uint64_t sum = check_sum(bytes);
    for (const std::size_t at :
         {std::size_t{0}, std::size_t{63}, std::size_t{64}, std::size_t{1000},
          (std::size_t{1} << 20) - 1, std::size_t{1} << 20, bytes.size() - 1}) {
        CAPTURE(at);
        std::vector<std::byte> other = bytes;
        other[at] ^= std::byte{0x80};
        CHECK(check_sum(other) != sum);
    }
    std::vector<std::byte> swapped = bytes;
    std::swap_ranges(swapped.begin(), swapped.begin() + 64, swapped.begin() + 64);
    CHECK(check_sum(swapped) != sum);
    swapped = bytes;
    std::swap_ranges(swapped.begin(), swapped.begin() + 8, swapped.begin() + 8);
    CHECK(check_sum(swapped) != sum);
    CHECK(check_sum(std::vector<std::byte>(10)) != check_sum(std::vector<std::byte>(11)));
    // The signs of two numbers, wherever both are.
    for (const std::size_t distance :
         {std::size_t{8}, std::size_t{64}, std::size_t{128}, std::size_t{512}, std::size_t{4096}}) {
        CAPTURE(distance);
        std::vector<std::byte> other = bytes;
        other[7] ^= std::byte{0x80};
        other[7 + distance] ^= std::byte{0x80};
        CHECK(check_sum(other) != sum);
    }
}
