#include <dalle2/io/atomic_file.hpp>

#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "temporary_folder.hpp"

using namespace dalle2;

TEST_CASE("a file appears with its whole content only when it is committed") {
    TemporaryFolder folder;
    {
        AtomicFile file(folder / "a");
        file.write("hello ");
        file.write("world");
        CHECK_FALSE(std::filesystem::exists(folder / "a"));
        file.commit();
        CHECK_THROWS_AS(file.write("more"), IoError);
        CHECK_THROWS_AS(file.commit(), IoError);
    }
    CHECK(folder.read("a") == "hello world");
    CHECK(folder.file_count() == 1);
}

TEST_CASE("a file that is not committed leaves the old one, and nothing else") {
    TemporaryFolder folder;
    write_file(folder / "a", "old");
    {
        AtomicFile file(folder / "a");
        file.write("new");
    }
    CHECK(folder.read("a") == "old");
    CHECK(folder.file_count() == 1);
    write_file(folder / "a", "new");
    CHECK(folder.read("a") == "new");
}

TEST_CASE("a full disk is an IoError, and the old file stays") {
    TemporaryFolder folder;
    write_file(folder / "a", "old");
    // A limit on the size of files stands for the full disk: write() fails after some bytes.
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit small = before;
    small.rlim_cur = 1000;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    bool thrown = false;
    try {
        write_file(folder / "a", std::string(5000, 'x'));
    } catch (const IoError&) {
        thrown = true;
    }
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    CHECK(thrown);
    CHECK(folder.read("a") == "old");
    CHECK(folder.file_count() == 1);
}

TEST_CASE("a symbolic link is written through and the mode of a file is kept") {
    TemporaryFolder folder;
    write_file(folder / "real", "old");
    ::chmod((folder / "real").c_str(), 0640);
    std::filesystem::create_symlink("real", folder / "link");
    write_file(folder / "link", "new");
    CHECK(folder.read("real") == "new");
    CHECK(std::filesystem::is_symlink(folder / "link"));
    CHECK((std::filesystem::status(folder / "real").permissions() & std::filesystem::perms::all) ==
          std::filesystem::perms(0640));
}

TEST_CASE("devices are written to, not replaced") {
    if (!std::filesystem::exists("/dev/full") || !std::filesystem::exists("/dev/null")) return;
    write_file("/dev/null", "gone");
    CHECK(std::filesystem::is_character_file("/dev/null"));
    CHECK_THROWS_AS(write_file("/dev/full", "no room"), IoError);
}
