// A file mapped into memory, read-only: its pages are read when they are used, and shared.
#pragma once

#include <fcntl.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include <dalle2/core/error.hpp>
#include <dalle2/io/file.hpp>

namespace dalle2 {

class MappedFile {
public:
    // Throws IoError when `path` cannot be opened or is not a regular file.
    explicit MappedFile(const std::filesystem::path& path) : path_(path) {
        const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (descriptor < 0) fail(detail::system_message(errno));
        struct stat status {};
        const bool known = ::fstat(descriptor, &status) == 0;
        std::string problem;
        if (!known || !S_ISREG(status.st_mode)) {
            problem = "not a regular file";
        } else if (status.st_size > 0) {
            size_ = static_cast<std::size_t>(status.st_size);
            address_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
            if (address_ == MAP_FAILED) problem = detail::system_message(errno);
        }
        ::close(descriptor);
        if (!problem.empty()) {
            address_ = nullptr;
            fail(problem);
        }
    }

    MappedFile(MappedFile&& other) noexcept
        : path_(std::move(other.path_)),
          address_(std::exchange(other.address_, nullptr)),
          size_(std::exchange(other.size_, 0)) {}
    MappedFile& operator=(MappedFile&& other) noexcept {
        std::swap(path_, other.path_);
        std::swap(address_, other.address_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~MappedFile() {
        if (address_) ::munmap(address_, size_);
    }

    const std::filesystem::path& path() const { return path_; }
    std::string_view bytes() const { return {static_cast<const char*>(address_), size_}; }

    // These bytes of it need not stay in memory: they are read again if they are wanted again.
    void forget(std::string_view part) const {
        const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        const auto begin = static_cast<std::size_t>(part.data() - bytes().data());
        // Whole pages alone; the neighbours' stay.
        const std::size_t first = (begin + page - 1) / page * page;
        const std::size_t last = (begin + part.size()) / page * page;
        if (first < last)
            (void)::madvise(static_cast<char*>(address_) + first, last - first, MADV_DONTNEED);
    }

    // That it is read again and again, in the system's large pages where that has them for files.
    void prefer_large_pages() const {
#ifdef MADV_HUGEPAGE
        if (address_) (void)::madvise(address_, size_, MADV_HUGEPAGE);
#endif
    }

private:
    [[noreturn]] void fail(const std::string& why) const {
        throw IoError("cannot open " + path_.string() + ": " + why);
    }

    std::filesystem::path path_;
    void* address_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace dalle2
