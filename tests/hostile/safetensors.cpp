#include <dalle2/io/safetensors.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "../io/safetensors_bytes.hpp"
#include "../io/temporary_folder.hpp"
#include "bounded.hpp"

using namespace dalle2;
using hostile::repeated;

namespace {

std::string small_file() {
    return with_header(R"({"__metadata__":{"format":"pt"},)"
                       R"("a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
                       R"("b.c":{"dtype":"F8_E5M2","shape":[3],"data_offsets":[8,11]}} )",
                       std::string("\0\0\x80\x3f\0\0\0\xc0\x01\xff\x7f", 11));
}

void read_every_tensor(const std::filesystem::path& path) {
    const SafetensorsFile file(path);
    for (const std::string& name : file.names()) (void)file.to_array(name);
}

// A header that is refused within the bounds. Returns the message.
std::string check_header(const std::string& header, const std::string& data = "") {
    TemporaryFolder folder;
    const std::string bytes = with_header(header, data);
    folder.write("x", bytes);
    return hostile::check_refused(bytes.size(), [&] { read_every_tensor(folder / "x"); });
}

}  // namespace

TEST_CASE("a safetensors file cut at any byte is refused") {
    TemporaryFolder folder;
    const std::string whole = small_file();
    folder.write("whole", whole);
    CHECK_NOTHROW(read_every_tensor(folder / "whole"));
    folder.write("long", whole + "x");
    CHECK_THROWS_AS(read_every_tensor(folder / "long"), FormatError);
    for (std::size_t length = whole.size(); length-- > 0;) {
        std::filesystem::resize_file(folder / "whole", length);
        CHECK_THROWS_AS(read_every_tensor(folder / "whole"), FormatError);
    }
}

TEST_CASE("a safetensors header with any byte changed to any other is read or refused") {
    TemporaryFolder folder;
    const std::string whole = small_file();
    const std::size_t header = whole.size() - 11;
    std::size_t refused = 0;
    folder.write("changed", whole);
    for (std::size_t i = 0; i < header; ++i) {
        for (int value = 0; value < 256; value += i < 8 ? 1 : 5) {
            if (static_cast<char>(value) == whole[i]) continue;
            hostile::put_byte(folder / "changed", i, static_cast<char>(value));
            try {
                read_every_tensor(folder / "changed");
            } catch (const FormatError&) {
                ++refused;
            }
        }
        hostile::put_byte(folder / "changed", i, whole[i]);
    }
    // What may change: letters of names and metadata, and spaces for other blanks.
    CHECK(refused > header * 40);
}

TEST_CASE("shapes whose product overflows are refused") {
    for (const char* shape :
         {"[4294967296,4294967296]", "[4294967296,4294967296,0]", "[9223372036854775807,2]",
          "[18446744073709551615]", "[65536,65536,65536,65536]", "[3037000500,3037000500,4]",
          "[4611686018427387904,4]"})
        check_header(
            R"({"a":{"dtype":"F32","shape":)" + std::string(shape) + R"(,"data_offsets":[0,4]}})",
            "1234");
    check_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[18446744073709551612,0]}})",
                 "1234");
}

TEST_CASE("no header of a hundred megabytes takes much more memory than it has bytes") {
    constexpr std::size_t most = 99'000'000;
    const auto fill = [&](const std::string& before, const std::string& piece,
                          const std::string& after) {
        return check_header(before + repeated(piece, (most - before.size()) / piece.size()) +
                            after);
    };
    const auto contains = [](const std::string& message, const char* text) {
        INFO(message);
        CHECK(message.find(text) != std::string::npos);
    };
    contains(fill(R"({"a":{"dtype":"F32","shape":[)", "1,", R"(1],"data_offsets":[0,4]}})"),
             "extents");
    contains(fill("{\"", "x", "\":1}"), "a text of more than");
    contains(fill("{\"", "\\n", "\":1}"), "a text of more than");
    contains(fill("{\"__metadata__\":{\"a\":\"", "x", "\"}}"), "a text of more than");
    contains(fill("{\"a\":", "1", "}"), "a text of more than");
    contains(fill("{\"a\":", "[", "}"), "list");
    contains(fill("{\"a\":", "{\"a\":", "}"), "unknown key");
    contains(fill("{", " ", "x"), "a text of more than");
    contains(fill("{", "\n\"\"", "x"), "JSON");
    // Many small tensors, and many keys: their names differ.
    std::string tensors = "{", keys = "{\"__metadata__\":{", long_keys = keys;
    for (int i = 0; tensors.size() < most / 2; ++i)
        tensors += (i ? ",\"" : "\"") + std::to_string(i) +
                   R"(":{"dtype":"I8","shape":[],"data_offsets":[0,1]})";
    contains(check_header(tensors + "}"), "more than 131072 tensors");
    for (int i = 0; keys.size() < most / 2; ++i)
        keys += (i ? ",\"" : "\"") + std::to_string(i) + R"(":"")";
    contains(check_header(keys + "}}"), "more than 65536 keys");
    for (int i = 0; long_keys.size() < most / 2; ++i)
        long_keys += (i ? ",\"" : "\"") + std::to_string(i) + std::string(1 << 20, 'x') + R"(":"")";
    check_header(long_keys + "}}", "x");
}

TEST_CASE("a file of as many tensors as are read, and one of the same tensor again and again") {
    // The last one reaches beyond the file.
    std::string header = "{", twice = "{";
    for (int i = 0; i < 131071; ++i) {
        const std::string place = std::to_string(i) + "," + std::to_string(i + 1);
        const std::string name = std::to_string(i) + std::string(600, 'n');
        header += (i ? ",\"" : "\"") + name + R"(":{"dtype":"I8","shape":[1,1,1,1,1,1,1,1],)" +
                  R"("data_offsets":[)" + place + "]}";
        twice += (i ? ",\"a" : "\"a") + std::string(R"(":{"dtype":"I8","shape":[],)") +
                 R"("data_offsets":[)" + place + "]}";
    }
    check_header(header + "}", std::string(131070, 'x'));
    const std::string message = check_header(twice + "}", std::string(131071, 'x'));
    CHECK(message.find("duplicate tensor") != std::string::npos);
}
