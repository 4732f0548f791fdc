#include <dalle2/io/torch_checkpoint.hpp>

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "../golden/golden_files.hpp"
#include "../io/temporary_folder.hpp"
#include "../io/zip_writer.hpp"
#include "bounded.hpp"

using namespace dalle2;
using namespace std::string_literals;
using hostile::repeated;

namespace {

std::string number(std::uint64_t value, int size) { return ZipWriter::number(value, size); }

void read_everything(const std::filesystem::path& path) {
    const TorchCheckpoint file(path);
    for (const std::string& name : file.names()) (void)file.to_array(name);
}

std::string check_file(const std::string& bytes) {
    TemporaryFolder folder;
    folder.write("x.pt", bytes);
    return hostile::check_refused(bytes.size(), [&] { read_everything(folder / "x.pt"); });
}

// A checkpoint with this pickle, refused within the bounds, by a message that contains `text`.
void check_pickle(const std::string& opcodes, const std::string& text,
                  const std::vector<std::string>& storages = {}) {
    const std::string message = check_file(make_checkpoint("\x80\x02" + opcodes, storages));
    INFO(message.substr(0, 500));
    CHECK(message.find(text) != std::string::npos);
}

std::string text(const std::string& characters) {
    return "X" + number(characters.size(), 4) + characters;
}
std::string integer(std::uint64_t value) { return "\x8a\x08" + number(value, 8); }
std::string tuple(const std::vector<std::uint64_t>& values) {
    std::string opcodes = "(";
    for (const std::uint64_t value : values) opcodes += integer(value);
    return opcodes + "t";
}
// What makes a tensor of the storage "0", which is of `count` float32 values.
std::string tensor(std::uint64_t count, std::uint64_t offset,
                   const std::vector<std::uint64_t>& shape,
                   const std::vector<std::uint64_t>& strides) {
    return "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\nFloatStorage\n" +
           text("0") + text("cpu") + integer(count) + "tQ" + integer(offset) + tuple(shape) +
           tuple(strides) + "\x89Nt" + "R";
}
std::string of_one_tensor(const std::string& made) { return "}" + text("w") + made + "s."; }

}  // namespace

TEST_CASE("a checkpoint cut at any byte is refused, one with any byte changed is read or refused") {
    TemporaryFolder folder;
    for (const char* name : {"nested.ckpt", "no_check_sums.pt"}) {
        std::ifstream file(golden::folder() / "checkpoints" / name, std::ios::binary);
        const std::string whole{std::istreambuf_iterator<char>(file), {}};
        REQUIRE(whole.size() > 1000);
        std::size_t refused = 0;
        const auto attempt = [&] {
            try {
                read_everything(folder / "x.pt");
            } catch (const FormatError&) {
                ++refused;
            }
        };
        folder.write("x.pt", whole);
        for (std::size_t length = whole.size(); length-- > 0;) {
            std::filesystem::resize_file(folder / "x.pt", length);
            attempt();
        }
        CHECK(refused == whole.size());
        folder.write("x.pt", whole);
        for (std::size_t i = 0; i < whole.size(); ++i) {
            for (const int bits : {1, 4, 0x80, 0xFF}) {
                hostile::put_byte(folder / "x.pt", i, static_cast<char>(whole[i] ^ bits));
                attempt();
            }
            hostile::put_byte(folder / "x.pt", i, whole[i]);
        }
        CHECK(refused > 2 * whole.size());
    }
}

TEST_CASE("what a pickle would call is not called") {
    TemporaryFolder folder;
    const std::string trace = (folder / "trace").string();
    const std::string call = text("touch " + trace) + "\x85R";
    for (const char* global :
         {"os\nsystem\n", "posix\nsystem\n", "subprocess\nPopen\n", "builtins\neval\n",
          "torch\nload\n", "torch._utils\n_import_dotted_name\n", "torch\nSize.__new__\n"})
        check_pickle(of_one_tensor("c"s + global + call), "which is refused");
    // The classes that may be named are not called either.
    check_pickle(of_one_tensor("ctorch\nSize\n" + call), "no tensors");
    check_pickle(of_one_tensor("ctorch\nFloatStorage\n" + call), "no tensors");
    check_pickle(of_one_tensor("ctorch._utils\n_rebuild_tensor_v2\n" + call), "1 arguments");
    CHECK(folder.file_count() == 0);
}

TEST_CASE("huge lengths, cycles and depths in a pickle are refused") {
    check_pickle("\x8d" + number(~std::uint64_t{0}, 8) + "x.", "ends");
    check_pickle("X\xff\xff\xff\xffx.", "ends");
    check_pickle("\x8b\xff\xff\xff\x7fx.", "bytes");
    check_pickle("\x95" + number(1u << 30, 8) + "N.", "ends");
    check_pickle("]q\0h\0a."s, "contains itself");
    check_pickle("}q\0"s + text("a") + "h\0s."s, "contains itself");
    check_pickle(repeated("]", 1000) + repeated("a", 999) + ".", "deep");
    check_pickle("Nr\xff\xff\xff\xff.", "memo");
}

TEST_CASE("no pickle of many opcodes takes much more memory than it has bytes") {
    constexpr std::size_t count = 20'000'000;
    for (const std::string& opcode : {"N"s, "("s, "]"s, "}"s, ")"s, "K\0"s, "\x8c\0"s, "Nq\0"s,
                                      "h\0"s, ")Q"s, "]]"s, ")\x85"s, "]Na"s, "}NNs"s})
        check_pickle("Nq\0"s + repeated(opcode, count / opcode.size()), "values");
    // What takes nothing from the stack and puts nothing there.
    check_pickle(repeated("N0", count / 2) + ".", "values");
    check_pickle("N" + repeated("\x95" + std::string(8, '\0'), count / 9), "ends");
    // One long text.
    check_pickle(text(std::string(count, 'x')) + ".", "a text");
    check_pickle("c" + std::string(count, 'x') + "\nx\n.", "which is refused");
    check_pickle("c" + std::string(count, 'x'), "ends");
    check_pickle("}" + text(std::string(count, 'x')) + "Ns.", "no tensors");
    check_pickle(of_one_tensor("N").substr(0, 1) + text(std::string(count, 'n')) +
                     tensor(1, 0, {1}, {1}) + "s.",
                 "longer than", {"1234"});
}

TEST_CASE("shapes and strides that overflow or leave their storage are refused") {
    const std::string storage(40, '\0');  // ten values
    const auto refused = [&](std::uint64_t offset, const std::vector<std::uint64_t>& shape,
                             const std::vector<std::uint64_t>& strides, const char* why) {
        check_pickle(of_one_tensor(tensor(10, offset, shape, strides)), why, {storage});
    };
    constexpr std::uint64_t half = std::uint64_t{1} << 32, huge = std::uint64_t{1} << 62;
    refused(0, {11}, {1}, "beyond");
    refused(1, {10}, {1}, "beyond");
    refused(10, {1}, {1}, "beyond");
    refused(0, {2}, {10}, "beyond");
    refused(huge, {2}, {1}, "beyond");
    refused(~std::uint64_t{0}, {2}, {1}, "beyond");  // −1
    refused(0, {half, half}, {1, 1}, "large");
    refused(0, {huge, 0, 4}, {1, 1, 1}, "large");
    refused(0, {2, 2}, {huge, huge}, "beyond");
    refused(0, {2}, {~std::uint64_t{0}}, "stride");
    refused(0, {~std::uint64_t{0}}, {1}, "extent");
    refused(0, {3, 3}, {1}, "strides");
    refused(0, std::vector<std::uint64_t>(17, 1), std::vector<std::uint64_t>(17, 1), "extents");
    // Zero strides: a thousand million million values of one.
    refused(0, {std::uint64_t{1} << 50}, {0}, "too often");
    refused(0, {1024, 1025}, {0, 0}, "too often");
    refused(0, {std::uint64_t{1} << 20, 10}, {0, 1}, "too often");
    check_pickle(of_one_tensor(tensor(11, 0, {1}, {1})), "40 bytes", {storage});
    check_pickle(of_one_tensor(tensor(~std::uint64_t{0}, 0, {1}, {1})), "malformed", {storage});
    check_pickle(of_one_tensor(tensor(huge, 0, {1}, {1})), "40 bytes", {storage});
    check_pickle(of_one_tensor(tensor(10, 0, {1}, {1})), "not there");
}

TEST_CASE("many tensors of one storage are refused before they take much memory") {
    // Sixteen extents each; the tuple is in the file once.
    const std::vector<std::uint64_t> ones(16, 1);
    std::string opcodes = "}" + tensor(1, 0, ones, ones) + "q\0"s + "0(";
    for (int i = 0; i < 70'000; ++i) opcodes += text(std::to_string(i)) + "h\0"s;
    check_pickle(opcodes + "u.", "more than 65536 tensors", {"1234"});
}

TEST_CASE("zip bombs are refused") {
    // Compressed members, which would be a gigabyte.
    ZipWriter compressed;
    compressed.add_unlisted("a/data.pkl", std::string(1000, 'x'), 8);
    compressed.list("a/data.pkl", 1u << 30, 0, 8, 1000);
    CHECK(check_file(compressed.finish()).find("compressed") != std::string::npos);
    // A million entries for the same bytes.
    ZipWriter overlapping;
    overlapping.add_unlisted("a/data.pkl", std::string(1000, 'x'));
    for (int i = 0; i < 60'000; ++i) overlapping.list("a/data.pkl", 1000, 0);
    CHECK(check_file(overlapping.finish()).find("overlaps") != std::string::npos);
    // As many members as fit, all empty and of no name.
    ZipWriter many;
    for (int i = 0; i < 65'535; ++i) many.add("", "");
    CHECK(check_file(many.finish()).find("twice") != std::string::npos);
    // A directory that claims more than there is.
    ZipWriter claims;
    claims.add("a/data.pkl", "N.");
    claims.count = 0xFFFF;
    CHECK(check_file(claims.finish()).find("within") != std::string::npos);
}
