// Zip archives for tests: stored members without check sums, and what is wrong with them if asked.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

struct ZipWriter {
    std::string bytes;
    std::string directory;
    std::uint64_t count = 0;

    static std::string number(std::uint64_t value, int size) {
        std::string text;
        for (int i = 0; i < size; ++i, value >>= 8) text += static_cast<char>(value & 0xFF);
        return text;
    }

    // The entry of the directory for a member whose header lies at `begin`.
    void list(const std::string& name, std::uint64_t size, std::uint64_t begin, int method = 0,
              std::uint64_t packed_size = ~std::uint64_t{0}, int flags = 0) {
        if (packed_size == ~std::uint64_t{0}) packed_size = size;
        directory += "PK\x01\x02" + number(20, 2) + number(20, 2) + number(unsigned(flags), 2) +
                     number(unsigned(method), 2) + number(0, 8) + number(packed_size, 4) +
                     number(size, 4) + number(name.size(), 2) + number(0, 12) + number(begin, 4) +
                     name;
        ++count;
    }

    void add_unlisted(const std::string& name, const std::string& content, int method = 0) {
        bytes += "PK\x03\x04" + number(20, 2) + number(0, 2) + number(unsigned(method), 2) +
                 number(0, 8) + number(content.size(), 4) + number(content.size(), 4) +
                 number(name.size(), 2) + number(0, 2) + name + content;
    }

    void add(const std::string& name, const std::string& content) {
        const std::uint64_t begin = bytes.size();
        add_unlisted(name, content);
        list(name, content.size(), begin);
    }

    std::string finish() const {
        return bytes + directory + "PK\x05\x06" + number(0, 4) + number(count, 2) +
               number(count, 2) + number(directory.size(), 4) + number(bytes.size(), 4) +
               number(0, 2);
    }
};

// A PyTorch checkpoint of this pickle, with storages called "0", "1", …
inline std::string make_checkpoint(const std::string& pickle,
                                   const std::vector<std::string>& storages = {}) {
    ZipWriter archive;
    archive.add("a/data.pkl", pickle);
    for (std::size_t i = 0; i < storages.size(); ++i)
        archive.add("a/data/" + std::to_string(i), storages[i]);
    return archive.finish();
}
