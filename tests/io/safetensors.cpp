#include <dalle2/io/safetensors.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>

#include "safetensors_bytes.hpp"
#include "temporary_folder.hpp"

using namespace dalle2;

namespace {

// A small file with two tensors of different types.
std::string small_file() {
    return with_header(R"({"__metadata__":{"format":"pt"},)"
                       R"("a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
                       R"("b.c":{"dtype":"I8","shape":[3],"data_offsets":[8,11]}} )",
                       std::string("\0\0\x80\x3f\0\0\0\xc0\x01\xff\x7f", 11));
}

// Opens the bytes and reads everything in them.
void open_and_read(const TemporaryFolder& folder, const std::string& bytes) {
    folder.write("test.safetensors", bytes);
    const SafetensorsFile file(folder / "test.safetensors");
    for (const auto& name : file.names()) {
        const TensorView view = file.view(name);
        unsigned sum = 0;
        for (const std::byte b : view.bytes) sum += std::to_integer<unsigned>(b);
        CHECK(sum <= 255 * view.bytes.size());
        CHECK(shape_of(file.to_array(name)) == view.shape);
    }
}

Array random_array(const Shape& shape, unsigned seed) {
    Array array = make_array(shape);
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (float& value : array) value = normal(random);
    return array;
}

}  // namespace

TEST_CASE("a file is read as the format says") {
    TemporaryFolder folder;
    folder.write("s.safetensors", small_file());
    const SafetensorsFile file(folder / "s.safetensors");
    CHECK(file.names() == std::vector<std::string>{"a", "b.c"});
    CHECK(file.metadata().at("format") == "pt");
    CHECK(file.contains("a"));
    CHECK_FALSE(file.contains("b"));
    CHECK(file.view("a").dtype == DType::f32);
    CHECK(file.view("a").shape == Shape{2, 1});
    CHECK(file.to_array("a")(0, 0) == 1.0f);
    CHECK(file.to_array("a")(1, 0) == -2.0f);
    const Array integers = file.to_array("b.c");
    CHECK(integers(0) == 1.0f);
    CHECK(integers(1) == -1.0f);
    CHECK(integers(2) == 127.0f);
    CHECK_THROWS_WITH_AS(file.to_array("b"), doctest::Contains("\"b\""), FormatError);
}

TEST_CASE("what is written is read back: exactly as F32, rounded as BF16 and F16") {
    TemporaryFolder folder;
    const std::vector<std::pair<std::string, Array>> tensors = {
        {"z", random_array({3, 5, 7}, 1)},
        {"a \"quoted\" ü", random_array({10007}, 2)},
        {"scalar", random_array({}, 3)},
        {"empty", random_array({0, 4}, 4)},
    };
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16, DType::f64}) {
        write_safetensors(folder / "t.safetensors", tensors, dtype, {{"model", "tiny"}});
        const SafetensorsFile file(folder / "t.safetensors");
        CHECK(file.metadata() == SafetensorsMetadata{{"model", "tiny"}});
        REQUIRE(file.names().size() == tensors.size());
        for (const auto& [name, array] : tensors) {
            const Array read = file.to_array(name);
            REQUIRE(shape_of(read) == shape_of(array));
            for (std::size_t i = 0; i < read.size(); ++i) {
                const float value = array.data()[i];
                float expected = value;
                if (dtype == DType::bf16) expected = static_cast<float>(bfloat16(value));
                if (dtype == DType::f16) expected = static_cast<float>(float16(value));
                REQUIRE(read.data()[i] == expected);
            }
        }
    }
    CHECK(folder.file_count() == 1);
}

TEST_CASE("halves are rounded to even, and infinity and NaN survive") {
    TemporaryFolder folder;
    Array array = make_array({6});
    array(0) = 1.0f + std::ldexp(1.0f, -8);      // half-way between 1 and the next bfloat16
    array(1) = 1.0f + 3 * std::ldexp(1.0f, -8);  // half-way, the even one is above
    array(2) = std::numeric_limits<float>::infinity();
    array(3) = std::numeric_limits<float>::quiet_NaN();
    array(4) = -0.0f;
    array(5) = 1e30f;
    write_safetensors(folder / "t", {{"x", array}}, DType::bf16);
    const Array read = SafetensorsFile(folder / "t").to_array("x");
    CHECK(read(0) == 1.0f);
    CHECK(read(1) == 1.0f + std::ldexp(1.0f, -6));
    CHECK(read(2) == array(2));
    CHECK(std::isnan(read(3)));
    CHECK(std::signbit(read(4)));
    write_safetensors(folder / "t", {{"x", array}}, DType::f16);
    const Array half = SafetensorsFile(folder / "t").to_array("x");
    CHECK(std::isinf(half(5)));
    CHECK(std::isnan(half(3)));
}

TEST_CASE("tensors of several types are written one after the other") {
    TemporaryFolder folder;
    const std::int64_t steps = 123456789012;
    {
        SafetensorsWriter writer(folder / "t", {{"w", {2}, DType::bf16}, {"n", {}, DType::i64}});
        writer.add(make_array({2}, 0.5f));
        CHECK_THROWS_AS(writer.commit(), FormatError);
        CHECK_THROWS_AS(writer.add(make_array({2})), ShapeError);
        writer.add_bytes(std::as_bytes(std::span(&steps, 1)));
        CHECK_THROWS_AS(writer.add(make_array({2})), FormatError);
        writer.commit();
    }
    const SafetensorsFile file(folder / "t");
    CHECK(file.metadata().at("format") == "pt");
    std::int64_t read = 0;
    std::memcpy(&read, file.view("n").bytes.data(), sizeof read);
    CHECK(read == steps);
    CHECK(file.to_array("w")(1) == 0.5f);
    CHECK_THROWS_AS(
        write_safetensors(folder / "u", {{"x", make_array({1})}, {"x", make_array({1})}}),
        FormatError);
    CHECK_THROWS_AS(write_safetensors(folder / "u", {{"\xff", make_array({1})}}), FormatError);
    CHECK(folder.file_count() == 1);
}

TEST_CASE("the header is padded so that the data is aligned") {
    TemporaryFolder folder;
    for (const auto* name : {"a", "ab", "abc", "abcd", "abcde"}) {
        write_safetensors(folder / "t", {{name, make_array({1})}});
        std::uint64_t length = 0;
        std::memcpy(&length, folder.read("t").data(), sizeof length);
        CHECK(length % 8 == 0);
    }
}

TEST_CASE("a file cut at any byte is a FormatError") {
    TemporaryFolder folder;
    const std::string bytes = small_file();
    CHECK_NOTHROW(open_and_read(folder, bytes));
    for (std::size_t length = 0; length < bytes.size(); ++length)
        CHECK_THROWS_AS(open_and_read(folder, bytes.substr(0, length)), FormatError);
    CHECK_THROWS_AS(open_and_read(folder, bytes + "x"), FormatError);
}

TEST_CASE("a file with any header byte changed is read or refused with a FormatError") {
    TemporaryFolder folder;
    const std::string bytes = small_file();
    int refused = 0;
    for (std::size_t i = 0; i < bytes.size() - 11; ++i)
        for (int value = 0; value < 256; value += i < 8 ? 1 : 5) {
            std::string changed = bytes;
            changed[i] = static_cast<char>(value);
            try {
                open_and_read(folder, changed);
            } catch (const FormatError&) {
                ++refused;
            }
        }
    CHECK(refused > 5000);
}

TEST_CASE("headers that break a rule of the format are refused, with the reason") {
    TemporaryFolder folder;
    const auto refused = [&](const std::string& header, const std::string& data,
                             const char* reason) {
        INFO(header);
        CHECK_THROWS_WITH_AS(open_and_read(folder, with_header(header, data)),
                             doctest::Contains(reason), FormatError);
    };
    const std::string four = "1234";
    const std::string a = R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
    CHECK_NOTHROW(open_and_read(folder, with_header("{" + a + "}", four)));
    CHECK_NOTHROW(open_and_read(folder, with_header("{}")));
    refused("{" + a + "," + a + "}", four, "duplicate tensor");
    refused("{" + a + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})", "123456",
            "overlap");
    refused("{" + a + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", four, "overlap");
    refused("{" + a + R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[5,6]}})", "123456", "hole");
    refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", "12345678", "hole");
    refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", four, "bytes 4 to 0");
    refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", four, "expected 8");
    refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", four, "need 8");
    refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,99999999999999999999]}})", four,
            "");
    refused(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})", four,
            "large");
    refused(R"({"a":{"dtype":"F32","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}})", "",
            "large");
    refused(R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]}})", four,
            "extent");
    refused(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", four, "negative");
    refused(R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", four, "fraction");
    refused(R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", four, "list");
    refused(R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})", four, "number");
    refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", four, "expected 2");
    refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}})", four, "more than 2");
    refused(R"({"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}})", four, "F31");
    refused(R"({"a":{"dtype":32,"shape":[1],"data_offsets":[0,4]}})", four, "number");
    refused(R"({"a":{"dtype":"F32","shape":[1]}})", four, "no data_offsets");
    refused(R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", four,
            "duplicate key");
    refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":[1]}})", four,
            "unknown key");
    refused(R"({"a":null})", "", "null");
    refused(R"({"a":[1]})", "", "list");
    refused(R"({"__metadata__":{"a":1}})", "", "number");
    refused(R"({"__metadata__":{"a":"1","a":"2"}})", "", "duplicate");
    refused(R"({"__metadata__":{},"__metadata__":{}})", "", "duplicate");
    refused("[]", "", "begin");
    refused(" {}", "", "begin");
    refused("{} x", "", "JSON");
    refused(std::string("{}\0\0", 4), "", "zero");
    refused("{", "", "");
    refused("{\"\xff\":1}", "", "JSON");
    refused("{" + std::string(100000, '['), "", "");
    refused(R"({"a":)" + std::string(100000, '['), "", "list");
    refused(R"({"a":)" + std::string(100000, '{'), "", "JSON");
}

TEST_CASE("a header length beyond the file or above the limit is refused at once") {
    TemporaryFolder folder;
    for (const std::uint64_t length :
         {std::uint64_t{12}, std::uint64_t{100'000'001}, ~std::uint64_t{0}, std::uint64_t{1} << 63,
          ~std::uint64_t{7}}) {
        std::string bytes(8, '\0');
        std::memcpy(bytes.data(), &length, sizeof length);
        CHECK_THROWS_AS(open_and_read(folder, bytes + "{}"), FormatError);
    }
}

TEST_CASE("a file that is missing, a directory or not to be written is an IoError") {
    TemporaryFolder folder;
    CHECK_THROWS_WITH_AS(SafetensorsFile(folder / "none"), doctest::Contains("none"), IoError);
    CHECK_THROWS_AS(SafetensorsFile(folder.path()), IoError);
    CHECK_THROWS_AS(write_safetensors(folder / "no/such/folder", {{"x", make_array({1})}}),
                    IoError);
    CHECK(folder.file_count() == 0);
}

TEST_CASE("every type of the format is read as float") {
    TemporaryFolder folder;
    const auto read = [&](const char* dtype, const std::string& bytes) {
        const std::string size = std::to_string(bytes.size());
        folder.write("t", with_header(std::string(R"({"a":{"dtype":")") + dtype +
                                          R"(","shape":[1],"data_offsets":[0,)" + size + "]}}",
                                      bytes));
        return SafetensorsFile(folder / "t").to_array("a")(0);
    };
    CHECK(read("F64", std::string("\0\0\0\0\0\0\xf8\xbf", 8)) == -1.5f);
    CHECK(read("F32", std::string("\0\0\xc0\xbf", 4)) == -1.5f);
    CHECK(read("F16", std::string("\0\xbe", 2)) == -1.5f);
    CHECK(read("BF16", "\xc0\xbf") == -1.5f);
    CHECK(read("F8_E4M3", "\xbc") == -1.5f);
    CHECK(read("F8_E5M2", "\xbe") == -1.5f);
    CHECK(read("I64", std::string(7, '\xff') + "\xff") == -1.0f);
    CHECK(read("I32", std::string(4, '\xff')) == -1.0f);
    CHECK(read("I16", std::string(2, '\xff')) == -1.0f);
    CHECK(read("I8", "\xff") == -1.0f);
    CHECK(read("U64", std::string(8, '\xff')) == 0x1p64f);
    CHECK(read("U32", std::string(4, '\xff')) == 0x1p32f);
    CHECK(read("U16", std::string(2, '\xff')) == 65535.0f);
    CHECK(read("U8", "\xff") == 255.0f);
    CHECK(read("BOOL", "\x01") == 1.0f);
    for (const char* dtype :
         {"C64", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F6_E2M3", "F6_E3M2", "F4"})
        CHECK_THROWS_WITH_AS(read(dtype, "x"),
                             doctest::Contains((std::string(dtype) + " is not supported").c_str()),
                             FormatError);
}

TEST_CASE("what the format allows is accepted: spaces behind the header, odd places, no elements") {
    TemporaryFolder folder;
    folder.write("t", with_header(R"({"a":{"dtype":"I8","shape":[],"data_offsets":[0,1]},)"
                                  R"("b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]},)"
                                  R"("c":{"dtype":"F32","shape":[7,0],"data_offsets":[5,5]},)"
                                  R"("d":{"dtype":"BF16","shape":[0],"data_offsets":[1,1]}}      )",
                                  std::string("\x05\0\0\x80\x3f", 5)));
    const SafetensorsFile file(folder / "t");
    CHECK(file.names() == std::vector<std::string>{"a", "d", "b", "c"});
    CHECK(file.to_array("a")() == 5.0f);
    CHECK(file.to_array("b")(0) == 1.0f);
    CHECK(file.to_array("c").size() == 0);
    folder.write("empty", with_header("{}"));
    CHECK(SafetensorsFile(folder / "empty").names().empty());
}

TEST_CASE("a pointer that Git LFS left in place of the file is called that") {
    TemporaryFolder folder;
    folder.write("t", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    CHECK_THROWS_WITH_AS(SafetensorsFile(folder / "t"), doctest::Contains("git lfs pull"),
                         FormatError);
}

TEST_CASE("a mapped file can be moved") {
    TemporaryFolder folder;
    folder.write("t", small_file());
    SafetensorsFile file(folder / "t");
    const SafetensorsFile moved(std::move(file));
    CHECK(moved.to_array("a")(0, 0) == 1.0f);
}
