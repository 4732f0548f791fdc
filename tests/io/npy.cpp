#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include <dalle2/io/npy.hpp>

#include "temporary_folder.hpp"

using namespace dalle2;

namespace {

// As numpy.save writes numpy.array([[1, 2.5, -3]], dtype=numpy.float32).
std::string numpy_file() {
    std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }";
    text.append(117 - text.size(), ' ') += '\n';
    std::string bytes("\x93NUMPY\1\0\x76\0", 10);
    bytes += text;
    bytes += std::string("\0\0\x80\x3f\0\0\x20\x40\0\0\x40\xc0", 12);
    return bytes;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    return text.replace(text.find(from), from.size(), to);
}

}  // namespace

TEST_CASE("what numpy.save writes is read, and written the same to the byte") {
    const TemporaryFolder folder;
    folder.write("a.npy", numpy_file());
    const Array array = read_npy(folder / "a.npy");
    REQUIRE(shape_of(array) == Shape{1, 3});
    CHECK(array(0, 0) == 1);
    CHECK(array(0, 1) == 2.5f);
    CHECK(array(0, 2) == -3);
    write_npy(folder / "b.npy", array);
    CHECK(folder.read("b.npy") == numpy_file());
}

TEST_CASE("arrays of every shape come back, infinite values too, and numbers begin at 64 bytes") {
    const TemporaryFolder folder;
    for (const Shape& shape : {Shape{}, Shape{5}, Shape{0, 7}, Shape{2, 3, 4}, Shape{1000000}}) {
        Array array = make_array(shape, 0.25f);
        if (array.size() > 0) array.data()[array.size() - 1] = -HUGE_VALF;
        write_npy(folder / "x.npy", array);
        const Array read = read_npy(folder / "x.npy");
        CHECK(shape_of(read) == shape);
        CHECK(read == array);
        CHECK((folder.read("x.npy").size() - 4 * array.size()) % 64 == 0);
    }
}

TEST_CASE("anything else is an error that names the file") {
    const TemporaryFolder folder;
    const std::string good = numpy_file();
    const auto refused = [&](const std::string& bytes) {
        folder.write("x.npy", bytes);
        CHECK_THROWS_WITH_AS(read_npy(folder / "x.npy"), doctest::Contains("x.npy"), FormatError);
    };
    for (std::size_t length = 0; length < good.size(); ++length) refused(good.substr(0, length));
    refused(good + "x");
    refused(replaced(good, "<f4", "<f8"));
    refused(replaced(good, "<f4", ">f4"));
    refused(replaced(good, "False", "True "));
    refused(replaced(good, "(1, 3), }", "(2, 3), }"));
    refused(replaced(good, "(1, 3), }", "(1,-3), }"));
    refused(replaced(good, "(1, 3), }      ", "(99999999, 99), }"));
    refused(replaced(good, "(1, 3), }              ", "(1099511627776, 3), }"));
    refused(replaced(good, "(1, 3), }                   ", "(1099511627777, 3), }  x"));
    refused(replaced(good, "(1, 3), }", "(1, 3), x"));
    refused(replaced(good, std::string("\1\0", 2), std::string("\3\0", 2)));
    CHECK_THROWS_AS(read_npy(folder / "none.npy"), IoError);
}
