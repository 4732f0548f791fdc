#include <dalle2/io/zip_archive.hpp>

#include <doctest/doctest.h>

#include <string>

#include "zip_writer.hpp"

using namespace dalle2;

namespace {

void check_archive_refused(const std::string& bytes, const char* text) {
    CHECK_THROWS_WITH_AS(ZipArchive(bytes, "x.zip"), doctest::Contains(text), FormatError);
    CHECK_THROWS_WITH_AS(ZipArchive(bytes, "x.zip"), doctest::Contains("x.zip"), FormatError);
}

ZipWriter two_members() {
    ZipWriter writer;
    writer.add("b", "second");
    writer.add("a", "first");
    return writer;
}

// The same archive, its directory's place given by the zip64 records alone.
std::string zip64(const ZipWriter& writer) {
    const auto number = ZipWriter::number;
    const std::uint64_t begin = writer.bytes.size(), end = begin + writer.directory.size();
    return writer.bytes + writer.directory + "PK\x06\x06" + number(44, 8) + number(45, 2) +
           number(45, 2) + number(0, 8) + number(writer.count, 8) + number(writer.count, 8) +
           number(end - begin, 8) + number(begin, 8) + "PK\x06\x07" + number(0, 4) +
           number(end, 8) + number(1, 4) + "PK\x05\x06" + number(0, 4) + number(0xFFFF, 2) +
           number(0xFFFF, 2) + number(0xFFFFFFFF, 4) + number(0xFFFFFFFF, 4) + number(0, 2);
}

}  // namespace

TEST_CASE("members are found by their names, and their bytes are those of the file") {
    const std::string bytes = two_members().finish();
    const ZipArchive archive(bytes, "x.zip");
    REQUIRE(archive.members().size() == 2);
    CHECK(archive.members()[0].name == "a");
    CHECK(archive.find("a")->bytes == "first");
    CHECK(archive.find("b")->bytes == "second");
    CHECK(archive.find("b")->bytes.data() == bytes.data() + 31);
    CHECK(archive.find("c") == nullptr);
    CHECK_NOTHROW(archive.require_stored());
    const std::string none = ZipWriter{}.finish();
    CHECK(ZipArchive(none, "x").members().empty());
}

TEST_CASE("a comment at the end is passed over") {
    std::string bytes = two_members().finish();
    bytes[bytes.size() - 2] = 5;
    CHECK(ZipArchive(bytes + "hello", "x").members().size() == 2);
    check_archive_refused(bytes + "hell", "directory");
}

TEST_CASE("the records of large archives are read") {
    const std::string bytes = zip64(two_members());
    CHECK(ZipArchive(bytes, "x").find("a")->bytes == "first");

    // A member whose sizes and place are in the extra field.
    const auto number = ZipWriter::number;
    ZipWriter writer;
    writer.add_unlisted("a", "first");
    writer.directory = "PK\x01\x02" + number(45, 2) + number(45, 2) + number(0, 4) + number(0, 8) +
                       number(0xFFFFFFFF, 4) + number(0xFFFFFFFF, 4) + number(1, 2) +
                       number(4 + 2 + 28, 2) + number(0, 10) + number(0xFFFFFFFF, 4) + "a" +
                       number(7, 2) + number(2, 2) + "xx" + number(1, 2) + number(24, 2) +
                       number(5, 8) + number(5, 8) + number(0, 8);
    writer.count = 1;
    const std::string large = writer.finish();
    CHECK(ZipArchive(large, "x").find("a")->bytes == "first");
    writer.directory.resize(writer.directory.size() - 8);
    check_archive_refused(writer.finish(), "damaged");
}

TEST_CASE("a check sum is compared when it is asked for, zero stands for none") {
    std::string bytes = two_members().finish();
    CHECK_NOTHROW(ZipArchive(bytes, "x").check(*ZipArchive(bytes, "x").find("a")));
    const std::size_t entry = bytes.find("PK\x01\x02");
    const std::uint32_t sum = detail::crc32("second");
    bytes.replace(entry + 16, 4, ZipWriter::number(sum, 4));
    CHECK_NOTHROW(ZipArchive(bytes, "x").check(*ZipArchive(bytes, "x").find("b")));
    bytes.replace(entry + 16, 4, ZipWriter::number(sum ^ 1, 4));
    const ZipArchive archive(bytes, "x.zip");
    CHECK_THROWS_WITH_AS(archive.check(*archive.find("b")), doctest::Contains("check sum"),
                         FormatError);
}

TEST_CASE("what is damaged or not supported is named") {
    check_archive_refused("", "short");
    check_archive_refused(std::string(1000, 'x'), "directory");
    check_archive_refused(two_members().finish().substr(1), "within");
    check_archive_refused("x" + two_members().finish(), "");

    ZipWriter encrypted = two_members();
    encrypted.list("c", 1, 0, 0, 1, 1);
    check_archive_refused(encrypted.finish(), "encrypted");

    ZipWriter twice = two_members();
    twice.add("a", "third");
    check_archive_refused(twice.finish(), "twice");

    ZipWriter overlapping = two_members();
    overlapping.list("b", 6, 0);
    check_archive_refused(overlapping.finish(), "overlaps");

    // A bomb: every entry is of the same bytes.
    ZipWriter bomb;
    bomb.add_unlisted("a", std::string(1000, 'x'));
    for (int i = 0; i < 100; ++i) bomb.list("a", 1000, 0);
    check_archive_refused(bomb.finish(), "overlaps");

    ZipWriter nested;  // a member within another one's bytes
    ZipWriter inner;
    inner.add_unlisted("b", "x");
    nested.add("a", inner.bytes);
    nested.list("b", 1, 31);
    check_archive_refused(nested.finish(), "overlaps");

    ZipWriter beyond = two_members();
    beyond.list("c", 1, 1u << 20);
    check_archive_refused(beyond.finish(), "within");

    ZipWriter absent = two_members();
    absent.list("c", 1, 31 + 3);
    check_archive_refused(absent.finish(), "");

    ZipWriter long_member = two_members();
    long_member.list("c", 0xFFFFFFF0u, 0);
    check_archive_refused(long_member.finish(), "within");

    std::string parts = two_members().finish();
    parts[parts.size() - 18] = 1;
    check_archive_refused(parts, "several");

    std::string count = two_members().finish();
    count[count.size() - 12] = 3;
    check_archive_refused(count, "within");
    count[count.size() - 12] = 1;
    check_archive_refused(count, "damaged");

    ZipWriter compressed;
    compressed.add_unlisted("a", "xyz", 8);
    compressed.list("a", 1u << 30, 0, 8, 3);
    const std::string bytes = compressed.finish();
    CHECK_THROWS_WITH_AS(ZipArchive(bytes, "x").require_stored(),
                         doctest::Contains("\"a\" is compressed (method 8)"), FormatError);
}

TEST_CASE("an archive cut or changed at any byte gives members within it, or a FormatError") {
    for (const std::string& whole : {two_members().finish(), zip64(two_members())}) {
        const auto attempt = [](const std::string& bytes) {
            try {
                const ZipArchive archive(bytes, "x");
                std::size_t total = 0;
                for (const ZipArchive::Member& member : archive.members()) {
                    archive.check(member);
                    total += member.bytes.size();
                }
                CHECK(total <= bytes.size());
                return true;
            } catch (const FormatError&) {
                return false;
            }
        };
        CHECK(attempt(whole));
        for (std::size_t length = 0; length < whole.size(); ++length)
            CHECK_FALSE(attempt(whole.substr(0, length)));
        for (std::size_t i = 0; i < whole.size(); ++i)
            for (const int bits : {1, 0x80, 0xFF}) {
                std::string bytes = whole;
                bytes[i] = static_cast<char>(bytes[i] ^ bits);
                attempt(bytes);
            }
    }
}
