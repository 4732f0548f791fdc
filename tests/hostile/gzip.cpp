#include <dalle2/io/gzip.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

#include "bounded.hpp"

using namespace dalle2;

namespace {

std::string number(std::uint64_t value) {
    std::string text;
    for (int i = 0; i < 4; ++i, value >>= 8) text += static_cast<char>(value & 0xFF);
    return text;
}

const std::string gzip_header("\x1F\x8B\x08\0\0\0\0\0\0\x03", 10);

// A gzip file of stored blocks.
std::string stored(const std::string& content, std::uint64_t claimed_size) {
    std::string bytes = gzip_header;
    for (std::size_t begin = 0; begin == 0 || begin < content.size(); begin += 0xFFFF) {
        const std::string block = content.substr(begin, 0xFFFF);
        const std::uint64_t size = block.size();
        bytes += begin + 0xFFFF >= content.size() ? '\1' : '\0';
        bytes += number(size | ((~size & 0xFFFF) << 16)) + block;
    }
    return bytes + number(detail::crc32(content)) + number(claimed_size);
}

void check_gzip(const std::string& bytes) {
    const std::string message =
        hostile::check_refused(bytes.size(), [&] { (void)gunzip(bytes, "x.gz"); });
    CHECK(message.find("x.gz") != std::string::npos);
}

}  // namespace

TEST_CASE("a gzip file is unpacked, and one that is cut or changed anywhere is refused or equal") {
    const std::string content = hostile::repeated("o w\n", 200), whole = stored(content, 800);
    CHECK(gunzip(whole, "x") == content);
    CHECK(gunzip(stored("", 0), "x").empty());
    CHECK(gunzip(stored(std::string(200'000, 'x'), 200'000), "x").size() == 200'000);
    for (std::size_t length = 0; length < whole.size(); ++length)
        CHECK_THROWS_AS(gunzip(whole.substr(0, length), "x"), FormatError);
    for (std::size_t i = 0; i < whole.size(); ++i) {
        std::string bytes = whole;
        bytes[i] = static_cast<char>(bytes[i] ^ 1);
        std::string unpacked = content;  // by a byte that means nothing, such as the time
        try {
            unpacked = gunzip(bytes, "x");
        } catch (const FormatError&) {
        }
        CHECK(unpacked == content);
    }
}

TEST_CASE("a gzip file that would unpack to very much, or claims so, is refused") {
    check_gzip(stored("x", 0xFFFFFFFF));
    check_gzip(stored("x", 40u << 20));
    check_gzip(stored(std::string(100'000, 'x'), 40u << 20));
    check_gzip(stored(std::string(100'000, 'x'), 1));
    // Runs of 258 zeros in fixed codes (see picture.cpp): 5 bytes of such bits again and again.
    std::string bomb = gzip_header + '\x63';
    for (int i = 0; i < 1'000'000; ++i) bomb += "\x18\xA3\x60\x14\x8C\x82";
    for (const std::uint64_t claimed : {0x3FFFFFFFu, 1000u, 47u << 20})
        check_gzip(bomb + number(0) + number(claimed));
    check_gzip(gzip_header + std::string(10'000'000, '\0'));
    check_gzip(gzip_header + std::string(10'000'000, '\xFF'));
}
