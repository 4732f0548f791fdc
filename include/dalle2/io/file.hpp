// Reading whole small files, with a limit.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include <dalle2/core/error.hpp>

namespace dalle2 {

namespace detail {

// What the system says about an error number; unlike strerror, safe in several threads.
inline std::string system_message(int error) { return std::generic_category().message(error); }

}  // namespace detail

// The bytes of the file at `path`. Throws IoError when it cannot be read, FormatError when it is
// longer than `limit` bytes: nothing that this library reads whole is meant to be large.
inline std::string read_file(const std::filesystem::path& path, std::uint64_t limit = 64u << 20) {
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored))
        throw IoError("cannot read " + path.string() + ": it is a directory, expected a file");
    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    errno = 0;
    std::unique_ptr<std::FILE, Close> file(std::fopen(path.string().c_str(), "rb"));
    if (!file) throw IoError("cannot open " + path.string() + ": " + detail::system_message(errno));
    std::string bytes;
    const std::uintmax_t expected = std::filesystem::file_size(path, ignored);
    if (!ignored && expected <= limit) bytes.reserve(static_cast<std::size_t>(expected));
    char buffer[1 << 16];
    while (true) {
        const std::size_t count = std::fread(buffer, 1, sizeof buffer, file.get());
        bytes.append(buffer, count);
        if (bytes.size() > limit)
            throw FormatError(path.string() + " is longer than " + std::to_string(limit) +
                              " bytes, the most that is read of a file of this kind");
        if (count < sizeof buffer) break;
    }
    if (std::ferror(file.get()))
        throw IoError("cannot read " + path.string() + ": " + detail::system_message(errno));
    return bytes;
}

}  // namespace dalle2
