// What the fuzz targets of this folder share. Each is one file with one function, to which
// libFuzzer gives bytes: whatever they are, a reader answers with a value or with a dalle2::Error,
// soon and in little memory. The seeds are files that libFuzzer starts from; the ordinary tests
// replay them with any compiler (replay.cpp). To look for more:
//
//     cmake --preset fuzz && cmake --build --preset fuzz     # clang-16, libclang-rt-16-dev
//     mkdir -p /tmp/found && build-fuzz/tests/fuzz/dalle2_fuzz_safetensors \
//         -max_total_time=600 -rss_limit_mb=512 -timeout=10 /tmp/found tests/fuzz/seeds/safetensors
//
// What it finds is written to crash-…, timeout-… or oom-… in the current folder: mend the reader,
// then keep the file as a seed, so that it is replayed for ever. make_seeds.py makes the first
// ones.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <dalle2/core/error.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace fuzzing {

// Anything but an answer or a typed error leaves through here and ends the program.
template <class Read>
int read_or_refuse(Read&& read) {
    try {
        read();
    } catch (const dalle2::Error&) {
    }
    return 0;
}

inline std::string_view as_text(const std::uint8_t* data, std::size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

// The parts of `text` between zero bytes, at most `most`; the last one has the rest.
inline std::vector<std::string> parts(std::string_view text, std::size_t most) {
    std::vector<std::string> found;
    while (found.size() + 1 < most && text.find('\0') != std::string_view::npos) {
        found.emplace_back(text.substr(0, text.find('\0')));
        text.remove_prefix(text.find('\0') + 1);
    }
    found.emplace_back(text);
    return found;
}

// A folder of this process, removed when it ends.
class Folder {
public:
    Folder()
        : path_(std::filesystem::temp_directory_path() /
                ("dalle2-fuzz-" + std::to_string(::getpid()))) {
        std::filesystem::create_directories(path_);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    const std::filesystem::path& path() const { return path_; }

    std::filesystem::path write(const std::string& name, std::string_view bytes) const {
        const std::filesystem::path file = path_ / name;
        std::ofstream(file, std::ios::binary) << bytes;
        return file;
    }

private:
    std::filesystem::path path_;
};

}  // namespace fuzzing
