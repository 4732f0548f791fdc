// The bytes of a safetensors file with a header of one's own, right or wrong.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

inline std::string with_header(const std::string& header, const std::string& data = "") {
    const std::uint64_t length = header.size();
    std::string bytes(sizeof length, '\0');
    std::memcpy(bytes.data(), &length, sizeof length);
    return bytes + header + data;
}
