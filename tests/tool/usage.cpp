#include <doctest/doctest.h>

#include <dalle2/io/picture.hpp>
#include <dalle2/kernels/isa.hpp>

#include "running.hpp"

TEST_CASE("help goes to standard output and says how to get more") {
    const TemporaryFolder folder;
    const Run help = run(folder, "--help");
    CHECK(help.status == 0);
    CHECK(help.err.empty());
    CHECK(help.out.find("COMMAND --help") != std::string::npos);
    for (const char* command : {"data", "data scenes", "data sheet", "info", "tokenize"}) {
        CAPTURE(command);
        const Run more = run(folder, std::string(command) + " --help");
        CHECK(more.status == 0);
        CHECK(more.out.find("Usage: dalle2") != std::string::npos);
    }
}

TEST_CASE("wrong usage is one line and exit status 2") {
    const TemporaryFolder folder;
    for (const char* arguments :
         {"", "paint", "--colour", "data", "data scenes", "data sheet -o x.png --columns 0",
          "data sheet -o x.png --pairs nan", "data sheet -o x.png --colored 1.5",
          "data sheet -o x.png --size 33", "data sheet -o x.png --seed -1",
          "data sheet -o x.png --seed 18446744073709551616", "data sheet -o x.png --seed ''",
          "info a b"}) {
        CAPTURE(std::string(arguments));
        const Run wrong = run(folder, arguments);
        CHECK(wrong.status == 2);
        CHECK(wrong.out.empty());
        CHECK_MESSAGE(is_one_error_line(wrong.err), wrong.err);
    }
    CHECK(folder.file_count() == 0);
}

TEST_CASE("a path that cannot be written to is refused before the work, and named") {
    const TemporaryFolder folder;
    const Run refused = run(folder, "data sheet -o no/such/folder/sheet.png");
    CHECK(refused.status == 1);
    CHECK(refused.out.empty());
    CHECK(is_one_error_line(refused.err));
    CHECK(refused.err.find("no/such/folder/sheet.png") != std::string::npos);
    CHECK(folder.file_count() == 0);
}

TEST_CASE("a full disk is an error") {
    const TemporaryFolder folder;
    const Run full = run(folder, "data sheet --columns 1 --rows 1 -o /dev/full");
    CHECK(full.status == 1);
    CHECK_MESSAGE(is_one_error_line(full.err), full.err);
}

TEST_CASE("info reads back what is written in a picture, without its control characters") {
    const TemporaryFolder folder;
    dalle2::write_png(folder / "picture.png", dalle2::make_picture(2, 3),
                      {{"prompt", "a red\x1b[31m apple\nprompt a lie"}});
    const Run shown = run(folder, "info picture.png");
    CHECK(shown.status == 0);
    CHECK(shown.out.find("2×3") != std::string::npos);
    CHECK(shown.out.find("a red") != std::string::npos);
    CHECK(shown.out.find('\x1b') == std::string::npos);
    CHECK(std::count(shown.out.begin(), shown.out.end(), '\n') == 2);
}

TEST_CASE("info says what is wrong with a file that is no picture") {
    const TemporaryFolder folder;
    folder.write("text.png", "not a picture");
    for (const char* path : {"text.png", "nothing.png"}) {
        CAPTURE(path);
        const Run refused = run(folder, std::string("info ") + path);
        CHECK(refused.status == 1);
        CHECK(is_one_error_line(refused.err));
        CHECK(refused.err.find(path) != std::string::npos);
    }
}

TEST_CASE(
    "an instruction set that cannot be had is one line that names the variable and the rest") {
    const TemporaryFolder folder;
    for (const char* arguments : {"info", "--help"}) {
        const Run refused = run(folder, arguments, "DALLE2_ISA=nonsense");
        CHECK(refused.status == 1);
        CHECK(refused.out.empty());
        CHECK_MESSAGE(is_one_error_line(refused.err), refused.err);
        CHECK(refused.err.find("DALLE2_ISA") != std::string::npos);
        CHECK(refused.err.find("it can run portable") != std::string::npos);
    }
    // A known one, on processors that lack one.
    for (const dalle2::kernels::Isa isa : dalle2::kernels::all_isas) {
        if (dalle2::kernels::available(isa)) continue;
        const Run refused =
            run(folder, "info", std::string("DALLE2_ISA=") + dalle2::kernels::name_of(isa));
        CHECK(refused.status == 1);
        CHECK_MESSAGE(is_one_error_line(refused.err), refused.err);
        CHECK(refused.err.find("not available on this processor") != std::string::npos);
    }
    const Run forced = run(folder, "info", "DALLE2_ISA=portable");
    CHECK(forced.status == 0);
    CHECK(forced.out.find("kernels    portable (") != std::string::npos);
}

TEST_CASE("a number of threads that cannot be is refused, with those that can") {
    const TemporaryFolder folder;
    for (const char* command : {"generate owl", "classify x.png --labels a", "train clip RUN"})
        for (const char* threads : {"-1", "1000000", "1025", "two"}) {
            CAPTURE(std::string(command));
            const Run refused = run(folder, std::string(command) + " --threads " + threads);
            CHECK(refused.status == 2);
            CHECK_MESSAGE(is_one_error_line(refused.err), refused.err);
            CHECK_MESSAGE(
                refused.err.find("--threads: \"" + std::string(threads) +
                                 "\" is not a whole number from 0 to 1024") != std::string::npos,
                refused.err);
        }
    CHECK(folder.file_count() == 0);
}
