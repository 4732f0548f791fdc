#include <dalle2/io/pickle.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>

using namespace dalle2;
using namespace std::string_literals;

namespace {

using Kind = PickleValue::Kind;

constexpr std::array<std::string_view, 2> globals = {"collections.OrderedDict", "torch.Size"};

// The pickle of protocol 4 with these opcodes.
struct Read {
    std::string bytes;
    Pickle pickle;
    explicit Read(const std::string& opcodes)
        : bytes("\x80\x04" + opcodes + "."), pickle(bytes, globals, "p") {}
    PickleValue root() const { return pickle.root(); }
};

void check_refused(const std::string& opcodes, const char* text) {
    CAPTURE(opcodes);
    CHECK_THROWS_WITH_AS(Read{opcodes}, doctest::Contains(text), FormatError);
    CHECK_THROWS_WITH_AS(Read{opcodes}, doctest::Contains("p: the pickle "), FormatError);
}

}  // namespace

TEST_CASE("numbers, texts and None are read") {
    CHECK(Read("N").root().is(Kind::none));
    CHECK(Read("\x88").root().bits == 1);
    CHECK(Read("\x89").root().is(Kind::boolean));
    CHECK(Read("K\xff").root().integer() == 255);
    CHECK(Read("M\xff\xff").root().integer() == 65535);
    CHECK(Read("J\xfd\xff\xff\xff").root().integer() == -3);
    CHECK(Read("\x8a\0"s).root().integer() == 0);
    CHECK(Read("\x8a\x01\x80").root().integer() == -128);
    CHECK(Read("\x8a\x06\0\0\0\0\0\x01"s).root().integer() == std::int64_t{1} << 40);
    CHECK(Read("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f").root().integer() == INT64_MAX);
    CHECK(Read("\x8b\x01\0\0\0\x05"s).root().integer() == 5);
    CHECK(Read("G\xbf\xf8\0\0\0\0\0\0"s).root().real() == -1.5);
    for (const std::string& text :
         {"\x8c\x03\x61\x62\x63"s, "X\x03\0\0\0abc"s, "\x8d\x03\0\0\0\0\0\0\0abc"s,
          "U\x03\x61\x62\x63"s, "T\x03\0\0\0abc"s}) {
        const Read read(text);
        CHECK(read.root().is(Kind::text));
        CHECK(read.pickle.text(read.root()) == "abc");
    }
}

TEST_CASE("containers are read, one after the other and within each other") {
    const Read list(
        "](K\x01K\x02"
        "eK\x03"
        "a");
    REQUIRE(list.pickle.items(list.root()).size() == 3);
    CHECK(list.pickle.items(list.root())[2].integer() == 3);

    const Read dict(
        "}(\x8c\x01"
        "aK\x01\x8c\x01"
        "bK\x02u\x8c\x01"
        "cNs");
    REQUIRE(dict.root().is(Kind::dict));
    const auto items = dict.pickle.items(dict.root());
    REQUIRE(items.size() == 6);
    CHECK(dict.pickle.text(items[2]) == "b");
    CHECK(items[3].integer() == 2);

    for (const auto& [opcodes, size] :
         {std::pair{")"s, 0}, {"K\x01\x85"s, 1}, {"NN\x86"s, 2}, {"NNN\x87"s, 3}, {"(NNNNt"s, 4}}) {
        const Read tuple(opcodes);
        CHECK(tuple.root().is(Kind::tuple));
        CHECK(tuple.pickle.items(tuple.root()).size() == static_cast<std::size_t>(size));
    }
    const Read persistent(
        "\x8c\x01"
        "aQ");
    CHECK(persistent.root().is(Kind::persistent));
}

TEST_CASE("the memo gives a value again") {
    for (const std::string& put : {"q\0"s, "r\0\0\0\0"s, "\x94"s})
        for (const std::string& get : {"h\0"s, "j\0\0\0\0"s}) {
            const Read read("K\x07" + put + get + "\x86");
            CHECK(read.pickle.items(read.root())[1].integer() == 7);
        }
    check_refused("h\0"s, "memo");
    check_refused("Nq\x05h\x04\x86", "number 4");
    check_refused("Nr\xff\xff\xff\xff", "memo");
}

TEST_CASE("a call is kept as what would be called, an OrderedDict is a dict") {
    const Read size("ctorch\nSize\nK\x05\x85\x85R");
    REQUIRE(size.root().is(Kind::call));
    CHECK(size.pickle.global(size.pickle.items(size.root())[0]) == "torch.Size");
    const Read dict(
        "\x8c\x0b"
        "collections\x8c\x0bOrderedDict\x93)RNNs}b");
    CHECK(dict.root().is(Kind::dict));
    CHECK(dict.pickle.items(dict.root()).size() == 2);  // attributes are passed over
    check_refused("ccollections\nOrderedDict\n]\x85R", "OrderedDict");
    check_refused("NN\x85R", "calls None");
    check_refused("]Nb", "attributes");
}

TEST_CASE("every other class, function and opcode is refused by its name and place") {
    check_refused("cos\nsystem\n", "os.system at byte 2");
    check_refused("N0cposix\nsystem\n\x8c\x02hi\x85R", "posix.system at byte 4");
    check_refused(
        "\x8c\x08"
        "builtins\x8c\x04"
        "eval\x93",
        "builtins.eval at byte 18");
    check_refused("ctorch\nSize2\n", "torch.Size2");
    check_refused("ctorchS\nize\n", "torchS.ize");
    check_refused("\x8c\x01xN\x93", "names");
    for (const auto& known : detail::refused_pickle_opcodes)
        check_refused(std::string(1, static_cast<char>(known.code)),
                      ("opcode " + std::string(known.name) + " at byte 2").c_str());
    check_refused("N0\xfe", "opcode 254, which is none, at byte 4");
    check_refused("\x80\x04", "opcode 128");
}

TEST_CASE("every opcode is either read or refused by name") {
    for (int code = 0; code < 256; ++code) {
        try {
            Read{std::string(1, static_cast<char>(code))};
        } catch (const FormatError& error) {
            const std::string message = error.what();
            CHECK(message.starts_with("p: the pickle "));
        }
    }
}

TEST_CASE("no container can contain itself") {
    check_refused("]q\0h\0a"s, "contains itself");
    check_refused("]q\0(h\0e"s, "contains itself");
    check_refused("}q\0Nh\0s"s, "contains itself");
    // Through a tuple, and through another list.
    check_refused(
        "]q\0h\0\x85q\x01"
        "0h\0h\x01"
        "a"s,
        "contains itself");
    check_refused(
        "]q\0]q\x01h\0"
        "a0h\0h\x01"
        "a"s,
        "contains itself");
}

TEST_CASE("a value used many times takes no more memory, however deep") {
    std::string opcodes = "Nq\0"s;
    for (int i = 0; i < 60; ++i)
        opcodes += "h" + std::string(1, static_cast<char>(i)) + "h" +
                   std::string(1, static_cast<char>(i)) + "\x86q" +
                   std::string(1, static_cast<char>(i + 1));
    // 2^60 paths lead to the None.
    CHECK_NOTHROW(Read("(" + opcodes + "t"));
}

TEST_CASE("depth and the number of values are limited") {
    CHECK_NOTHROW(Read(std::string(64, ']') + std::string(63, 'a')));
    check_refused(std::string(65, ']') + std::string(64, 'a'), "64 deep");
    check_refused(std::string(1 << 20, 'N'), "values");
    check_refused(std::string(1 << 20, '('), "values");
    check_refused(std::string(1 << 20, ']'), "values");
    check_refused(")" + std::string(1 << 20, '\x85'), "deep");
    check_refused("N" + std::string(1 << 20, '\x94'), "values");
    check_refused("Nr\xff\xff\x07\0"s + std::string(100, 'N'), "values");
}

TEST_CASE("what is cut off, too long, or takes more than there is, is refused") {
    for (const std::string& opcodes :
         {"\x8c\x05"s, "X\xff\xff\xff\xff"s, "\x8d\xff\xff\xff\xff\xff\xff\xff\xff"s, "K"s, "G"s,
          "J\0"s, "cos"s, "\x95\xff\xff\xff\xff\xff\xff\xff\xff"s, "T\xff\xff\xff\x7f"s})
        check_refused(opcodes, "ends in the middle");
    check_refused("\x8a\x09", "9 bytes");
    check_refused("\x8b\xff\xff\xff\x7f", "bytes");
    for (const char* opcodes :
         {"",  "0", "a",   "s", "e",     "u",   "t",   "\x85",   "\x86",    "\x87", "R",
          "b", "Q", "q\1", "1", "N\x86", "](0", "](a", "N(\x85", "NN(\x87", "N(Nb"})
        check_refused(opcodes, "");
    check_refused("NN", "leaves");
    check_refused("(N", "");
    check_refused("N.N", "after its end");
    check_refused("](NNu", "adds to");
    check_refused("}(NNe", "adds to");
    check_refused("}(Nu", "without a value");
    check_refused("}]Ns", "as a key");
    CHECK_THROWS_AS(Pickle("", globals, "p"), FormatError);
    CHECK_THROWS_AS(Pickle("N.", globals, "p"), FormatError);
    CHECK_THROWS_AS(Pickle("\x80\x01N.", globals, "p"), FormatError);
    CHECK_THROWS_AS(Pickle("\x80\x06N.", globals, "p"), FormatError);
}
