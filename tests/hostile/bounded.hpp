// Runs a reader on hostile input in a process of its own, which may not crash, hang or take much
// memory.
#pragma once

#include <unistd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

#include <dalle2/core/error.hpp>

namespace hostile {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;  // memory is then the sanitizer's: it keeps what is freed
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif
#else
inline constexpr bool sanitized = false;
#endif

struct Outcome {
    enum Kind : std::uint8_t { read, refused, other_exception, crashed, too_slow };
    Kind kind = crashed;
    std::string message;     // of the exception
    std::int64_t bytes = 0;  // the most memory that was resident, beyond what was before
};

inline const char* to_string(Outcome::Kind kind) {
    constexpr const char* names[] = {"read", "refused", "another exception", "crashed", "too slow"};
    return names[kind];
}

// The largest resident size of this process so far, in bytes.
inline std::int64_t peak_memory() {
    struct rusage usage {};
    ::getrusage(RUSAGE_SELF, &usage);
#if defined(__APPLE__)
    return usage.ru_maxrss;
#else
    return std::int64_t{usage.ru_maxrss} * 1024;
#endif
}

// Calls `read` in a child process, for at most `seconds`.
template <class Read>
Outcome run(Read&& read, unsigned seconds = 20) {
#if defined(__GLIBC__)
    ::malloc_trim(0);  // so that the child finds no free memory which is resident already
#endif
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const ::pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        ::alarm(sanitized ? 6 * seconds : seconds);
        const std::int64_t before = peak_memory();
        std::string report;
        try {
            read();
            report = std::string(1, static_cast<char>(Outcome::read));
        } catch (const dalle2::Error& error) {
            report = std::string(1, static_cast<char>(Outcome::refused)) + error.what();
        } catch (const std::exception& error) {
            report = std::string(1, static_cast<char>(Outcome::other_exception)) + error.what();
        }
        const std::int64_t used = peak_memory() - before;
        (void)!::write(ends[1], &used, sizeof used);
        (void)!::write(ends[1], report.data(), report.size());
        ::_exit(0);
    }
    ::close(ends[1]);
    std::string report;
    char piece[4096];
    for (::ssize_t count; (count = ::read(ends[0], piece, sizeof piece)) > 0;)
        report.append(piece, static_cast<std::size_t>(count));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    Outcome outcome;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) outcome.kind = Outcome::too_slow;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || report.size() <= sizeof outcome.bytes)
        return outcome;
    report.copy(reinterpret_cast<char*>(&outcome.bytes), sizeof outcome.bytes);
    outcome.kind = static_cast<Outcome::Kind>(report[sizeof outcome.bytes]);
    outcome.message = report.substr(sizeof outcome.bytes + 1);
    return outcome;
}

// Fails the test unless `read` throws a dalle2::Error soon, within twice `file_size` bytes and
// 64 MB. Returns the message.
template <class Read>
std::string check_refused(std::uint64_t file_size, Read&& read) {
    const Outcome outcome = run(read);
    INFO(to_string(outcome.kind) << ": " << outcome.message.substr(0, 300));
    CHECK(outcome.kind == Outcome::refused);
    INFO((outcome.bytes >> 20) << " MiB for a file of " << (file_size >> 20) << " MiB");
    if (!sanitized) CHECK(outcome.bytes <= 2 * static_cast<std::int64_t>(file_size) + 64'000'000);
    CHECK(outcome.message.size() < 4000);
    return outcome.message;
}

// Changes one byte of a file in its place.
inline void put_byte(const std::filesystem::path& path, std::size_t place, char value) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(place));
    file.put(value);
}

inline std::string repeated(const std::string& text, std::size_t count) {
    std::string all;
    all.reserve(text.size() * count);
    for (std::size_t i = 0; i < count; ++i) all += text;
    return all;
}

}  // namespace hostile
