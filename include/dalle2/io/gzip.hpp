// Unpacking gzip files (RFC 1952).
#pragma once

#include <climits>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <dalle2/core/error.hpp>
#include <dalle2/io/crc32.hpp>
#include <dalle2/io/stb.hpp>

namespace dalle2 {

// The unpacked content of a gzip file with one member, at most `limit` bytes. Throws FormatError
// when it is not gzip, is cut off, would be longer, or does not match its check sum; `name` stands
// in the message.
inline std::string gunzip(std::string_view file, const std::string& name,
                          std::size_t limit = std::size_t{48} << 20) {
    const auto fail = [&](const char* why) {
        throw FormatError(name + ": " + why + "; expected a gzip file");
    };
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(file[i]); };
    if (file.size() < 18 || byte(0) != 0x1F || byte(1) != 0x8B || byte(2) != 8)
        fail("does not begin like a gzip file");
    const unsigned flags = byte(3);
    std::size_t begin = 10;
    const auto skip_text = [&] {
        const std::size_t zero = file.find('\0', begin);
        if (zero == std::string_view::npos) fail("ends in its header");
        begin = zero + 1;
    };
    if (flags & 4) begin += 2u + byte(10) + 256u * byte(11);  // an extra field with its length
    if (flags & 8) skip_text();                               // the original name
    if (flags & 16) skip_text();                              // a comment
    if (flags & 2) begin += 2;                                // a check sum of the header
    if (begin + 8 > file.size() || file.size() > std::size_t{INT_MAX}) fail("ends in its header");
    const auto trailer = [&](std::size_t from_end) {
        std::uint32_t value = 0;
        for (std::size_t i = 0; i < 4; ++i)
            value |= std::uint32_t{byte(file.size() - from_end + i)} << (8 * i);
        return value;
    };
    // The trailer goes along: stb reads a little beyond the last bit that it uses.
    const std::string_view packed = file.substr(begin);
    // Into a text of the size that the file claims: a bomb is larger, or claims too much.
    const std::size_t size = trailer(4);
    constexpr std::size_t best_ratio = 1032;  // a run of 258 bytes takes two bits
    if (size > limit || size / best_ratio > packed.size())
        fail(("claims to contain " + std::to_string(size) + " bytes, at most " +
              std::to_string(limit) + " are read")
                 .c_str());
    std::string text(size, '\0');
    const int length = detail::stb::stbi_zlib_decode_noheader_buffer(
        text.data(), static_cast<int>(size), packed.data(), static_cast<int>(packed.size()));
    if (length < 0) fail("its content is damaged");
    if (trailer(8) != detail::crc32(text) || static_cast<std::size_t>(length) != size)
        fail("its content does not match its check sum");
    return text;
}

}  // namespace dalle2
