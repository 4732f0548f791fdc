// Many blocks of memory in one stretch: where each of them goes, and the memory itself.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace dalle2 {

// The book-keeping alone: a block goes into the smallest gap that holds it, the lowest of several,
// or else to the end. What is given back joins the gaps beside it. The same sequence of blocks
// always gives the same places, so that a model's memory can be told from its shapes alone.
class ArenaLayout {
public:
    // Every block begins at a multiple of this, and takes one at least.
    static constexpr std::size_t unit = 64;

    // The place of a block of so many bytes.
    std::size_t take(std::size_t bytes) {
        bytes = rounded(bytes);
        auto best = gaps_.end();
        for (auto gap = gaps_.begin(); gap != gaps_.end(); ++gap)
            if (gap->size >= bytes && (best == gaps_.end() || gap->size < best->size)) best = gap;
        if (best == gaps_.end()) {
            const std::size_t at = std::exchange(end_, end_ + bytes);
            extent_ = std::max(extent_, end_);
            return at;
        }
        const std::size_t at = best->begin;
        best->begin += bytes;
        best->size -= bytes;
        if (best->size == 0) gaps_.erase(best);
        return at;
    }

    // A block that take gave, with the bytes that it was given for.
    void give_back(std::size_t at, std::size_t bytes) {
        bytes = rounded(bytes);
        const auto after =
            std::lower_bound(gaps_.begin(), gaps_.end(), at,
                             [](const Gap& gap, std::size_t begin) { return gap.begin < begin; });
        const bool joins_before = after != gaps_.begin() && (after - 1)->end() == at,
                   joins_after = after != gaps_.end() && at + bytes == after->begin;
        if (joins_before && joins_after) {
            (after - 1)->size += bytes + after->size;
            gaps_.erase(after);
        } else if (joins_before) {
            (after - 1)->size += bytes;
        } else if (joins_after) {
            after->begin = at;
            after->size += bytes;
        } else {
            gaps_.insert(after, {at, bytes});
        }
        // What is free at the end is no gap.
        if (gaps_.back().end() == end_) {
            end_ = gaps_.back().begin;
            gaps_.pop_back();
        }
    }

    // How far the blocks reach now, and how far they have ever reached: the memory that they take.
    std::size_t end() const { return end_; }
    std::size_t extent() const { return extent_; }

private:
    struct Gap {
        std::size_t begin, size;
        std::size_t end() const { return begin + size; }
    };
    static std::size_t rounded(std::size_t bytes) {
        return std::max(unit, (bytes + unit - 1) / unit * unit);
    }

    std::vector<Gap> gaps_;  // ascending; no two of them touch
    std::size_t end_ = 0, extent_ = 0;
};

// A stretch of addresses whose memory is taken from the system when it is first written to, and can
// be returned to it.
class ReservedMemory {
public:
    // Empty where so many addresses cannot be had.
    explicit ReservedMemory(std::size_t bytes) {
        void* const address =
            ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (address == MAP_FAILED) return;
        address_ = static_cast<char*>(address);
        size_ = bytes;
#ifdef MADV_HUGEPAGE
        (void)::madvise(address, bytes, MADV_HUGEPAGE);
#endif
    }
    ~ReservedMemory() {
        if (address_) ::munmap(address_, size_);
    }
    ReservedMemory(const ReservedMemory&) = delete;
    ReservedMemory& operator=(const ReservedMemory&) = delete;

    char* address() const { return address_; }

    // Makes the first so many bytes usable; false where the system has no more.
    bool open(std::size_t bytes) {
        if (bytes <= open_) return true;
        const std::size_t wanted = std::min(size_, (bytes + step - 1) / step * step);
        if (bytes > size_ || ::mprotect(address_, wanted, PROT_READ | PROT_WRITE) != 0)
            return false;
        open_ = wanted;
        return true;
    }

    // What lies beyond the first so many bytes is forgotten, and its memory returned.
    void forget_beyond(std::size_t bytes) {
        const std::size_t kept = (bytes + step - 1) / step * step;
        if (kept < open_) (void)::madvise(address_ + kept, open_ - kept, MADV_DONTNEED);
    }

private:
    static constexpr std::size_t step = std::size_t{4} << 20;  // bytes
    char* address_ = nullptr;
    std::size_t size_ = 0, open_ = 0;
};

}  // namespace dalle2
