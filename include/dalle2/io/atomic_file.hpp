// Files that appear complete or not at all: written under a temporary name beside the target,
// flushed to the disk, then renamed over it.
#pragma once

#include <fcntl.h>
#include <unistd.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include <dalle2/core/error.hpp>
#include <dalle2/io/file.hpp>

namespace dalle2 {

// A file being written. Until commit() the target is untouched; without commit() (an exception, a
// return) the temporary file is removed. Throws IoError when the folder cannot be written to or the
// disk is full. A target that is a device or a pipe (/dev/stdout) is written to directly; a
// symbolic link is followed.
class AtomicFile {
public:
    explicit AtomicFile(const std::filesystem::path& path) : target_(path) {
        std::error_code error;
        if (std::filesystem::is_symlink(target_, error)) {
            const auto resolved = std::filesystem::weakly_canonical(target_, error);
            if (!error) target_ = resolved;
        }
        struct stat status {};
        const bool exists = ::stat(target_.c_str(), &status) == 0;
        if (target_.empty() || (exists && S_ISDIR(status.st_mode)))
            throw IoError("cannot write '" + path.string() +
                          "': it is not the name of a file; give a path that ends in one");
        if (exists && ::access(target_.c_str(), W_OK) != 0) fail("write", errno);
        if (exists && !S_ISREG(status.st_mode)) {
            descriptor_ = ::open(target_.c_str(), O_WRONLY | O_CLOEXEC);
            if (descriptor_ < 0) fail("open", errno);
            return;
        }
        create_temporary();
        // A file system may refuse the mode; the content matters more.
        if (exists) (void)::fchmod(descriptor_, status.st_mode & 07777u);
    }

    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;
    ~AtomicFile() { discard(); }

    const std::filesystem::path& path() const { return target_; }

    void write(const void* data, std::size_t size) {
        if (descriptor_ < 0) throw IoError("cannot write " + target_.string() + ": already closed");
        const char* next = static_cast<const char*>(data);
        while (size > 0) {
            const ::ssize_t count = ::write(descriptor_, next, std::min(size, largest_write));
            if (count < 0 && errno == EINTR) continue;
            if (count <= 0) fail("write", count < 0 ? errno : ENOSPC);
            next += count;
            size -= static_cast<std::size_t>(count);
        }
    }
    void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }

    // Makes what was written the content of the target.
    void commit() {
        if (descriptor_ < 0) throw IoError("cannot write " + target_.string() + ": already closed");
        // Pipes and terminals cannot be flushed to a disk, and say EINVAL.
        if (::fsync(descriptor_) != 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP)
            fail("write", errno);
        if (::close(std::exchange(descriptor_, -1)) != 0) fail("write", errno);
        if (temporary_.empty()) return;
        if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("write", errno);
        temporary_.clear();
        // The new name reaches the disk with its folder. Some file systems cannot flush one.
        const int folder = ::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder >= 0) {
            (void)::fsync(folder);
            ::close(folder);
        }
    }

private:
    static constexpr std::size_t largest_write = std::size_t{1} << 30;

    static std::filesystem::path folder_of(const std::filesystem::path& path) {
        return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
    }

    // The name is short whatever the target's is, so that a long one still fits the file system.
    void create_temporary() {
        static std::atomic<unsigned> counter{0};
        for (int attempt = 0; attempt < 1000; ++attempt) {
            temporary_ = folder_of(target_) / (".dalle2-" + std::to_string(::getpid()) + "-" +
                                               std::to_string(counter++) + ".tmp");
            descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
            if (descriptor_ >= 0) return;
            if (errno != EEXIST) break;
        }
        const int error = errno;
        temporary_.clear();
        fail("write", error);
    }

    void discard() noexcept {
        if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
        if (!temporary_.empty()) ::unlink(temporary_.c_str());
        temporary_.clear();
    }

    [[noreturn]] void fail(const char* what, int error) {
        const std::string hint =
            error == ENOSPC || error == EDQUOT
                ? "; free some space or choose another folder"
                : "; choose a file in a folder that exists and can be written to";
        discard();
        throw IoError(std::string("cannot ") + what + " " + target_.string() + ": " +
                      detail::system_message(error) + hint);
    }

    std::filesystem::path target_;
    std::filesystem::path temporary_;  // empty: the target is written to directly, or is complete
    int descriptor_ = -1;
};

// Makes `bytes` the content of the file at `path`, atomically. Throws IoError.
inline void write_file(const std::filesystem::path& path, std::string_view bytes) {
    AtomicFile file(path);
    file.write(bytes);
    file.commit();
}

}  // namespace dalle2
