#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include <dalle2/io/npy.hpp>
#include <dalle2/io/picture.hpp>

#include "running.hpp"

using dalle2::Array;

namespace {

Array row(const Array& all, std::int64_t index) {
    const std::int64_t width = dalle2::shape_of(all)[1];
    Array one = dalle2::make_array({width});
    std::copy_n(all.data() + index * width, width, one.data());
    return one;
}
double product(const Array& a, const Array& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        sum += static_cast<double>(a.data()[i]) * static_cast<double>(b.data()[i]);
    return sum;
}

}  // namespace

TEST_CASE("embed writes a row for each text and picture in their order, of unit length") {
    const TemporaryFolder folder;
    REQUIRE(run(folder, "data scenes --count 2 --size 32 -o s").status == 0);
    folder.write("texts.txt", "an owl\n\n  a red apple  \r\n");
    const Run made = run(folder,
                         "embed \"an owl\" s/scene-0000001.png \"a blue ship\" s/scene-0000000.png "
                         "--text-file texts.txt -o all.npy --engine float32");
    REQUIRE_MESSAGE(made.status == 0, made.err);
    CHECK(made.out.find("6 × 192") != std::string::npos);
    const Array all = dalle2::read_npy(folder / "all.npy");
    REQUIRE(dalle2::shape_of(all) == dalle2::Shape{6, 192});
    for (std::int64_t i = 0; i < 6; ++i)
        CHECK(product(row(all, i), row(all, i)) == doctest::Approx(1).epsilon(1e-5));
    // The file's first line and the first item are the same words.
    CHECK(product(row(all, 0), row(all, 2)) == doctest::Approx(1).epsilon(1e-5));
    CHECK(product(row(all, 1), row(all, 4)) < 0.99);

    const Run raw = run(folder, "embed s/scene-0000001.png -o raw.npy --raw --engine float32");
    REQUIRE_MESSAGE(raw.status == 0, raw.err);
    const Array long_row = row(dalle2::read_npy(folder / "raw.npy"), 0);
    const double length = std::sqrt(product(long_row, long_row));
    CHECK(std::abs(length - 1) > 0.01);
    CHECK(product(long_row, row(all, 3)) / length == doctest::Approx(1).epsilon(1e-5));
}

TEST_CASE("embed refuses what it cannot read or write before it works") {
    const TemporaryFolder folder;
    folder.write("broken.png", "no picture");
    for (const char* arguments : {"", "missing.png", "broken.png", "x -o no/such/folder/x.npy",
                                  "x --text-file none.txt", "x --model none"}) {
        CAPTURE(std::string(arguments));
        const Run wrong = run(folder, std::string("embed ") + arguments);
        CHECK(wrong.status == 1);
        CHECK(wrong.out.empty());
        CHECK_MESSAGE(is_one_error_line(wrong.err), wrong.err);
        CHECK(folder.file_count() == 1);
    }
}
