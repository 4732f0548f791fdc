// Zip archives such as PyTorch's checkpoints, whose members are stored as they are: their bytes are
// used where they lie; nothing is unpacked. (.ZIP File Format Specification 6.3.10, sections 4.3
// and 4.5.3.)
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/crc32.hpp>
#include <dalle2/io/utf8.hpp>

namespace dalle2 {

// The members of an archive, by their names. Every header is checked on opening: that it lies in
// the archive, that the directory and the member's own header agree, and that no two members share
// a byte, so that an archive cannot hold more than its own size.
class ZipArchive {
public:
    struct Member {
        std::string_view name;
        std::string_view bytes;       // packed unless the method is zero
        std::uint32_t check_sum = 0;  // of what is not packed
        std::uint16_t method = 0;
    };

    // `file` is the whole archive, which must outlive this object; `where` stands in messages.
    // Throws FormatError for what is damaged, encrypted, or spread over several files.
    ZipArchive(std::string_view file, std::string where) : file_(file), where_(std::move(where)) {
        read_directory(find_directory());
        check_members();
    }

    // In the order of their names.
    const std::vector<Member>& members() const { return members_; }

    // Null when there is none of this name.
    const Member* find(std::string_view name) const {
        const auto found = std::lower_bound(
            members_.begin(), members_.end(), name,
            [](const Member& member, std::string_view wanted) { return member.name < wanted; });
        return found != members_.end() && found->name == name ? &*found : nullptr;
    }

    // Throws FormatError, naming it, when a member is compressed.
    void require_stored() const {
        for (const Member& member : members_)
            if (member.method != 0)
                fail(shown(member.name) + " is compressed (method " +
                     std::to_string(member.method) +
                     "); expected one that is stored as it is, as torch.save does it");
    }

    // Reads the bytes of a stored member. Throws FormatError when they do not match its check sum;
    // a check sum of zero stands for none (torch.serialization.set_crc32_options).
    void check(const Member& member) const {
        if (member.check_sum != 0 && detail::crc32(member.bytes) != member.check_sum)
            fail(shown(member.name) + " does not match its check sum: the file is damaged");
    }

private:
    static constexpr std::uint32_t local_signature = 0x04034B50, entry_signature = 0x02014B50,
                                   end_signature = 0x06054B50, end64_signature = 0x06064B50,
                                   locator64_signature = 0x07064B50;
    static constexpr std::size_t local_size = 30, entry_size = 46, end_size = 22, end64_size = 56,
                                 locator64_size = 20;
    static constexpr std::uint64_t in_extra = 0xFFFFFFFF;  // the value is in the zip64 field

    struct Directory {
        std::uint64_t begin = 0, size = 0, count = 0;
    };

    [[noreturn]] void fail(const std::string& what) const {
        throw FormatError(where_ + " is not a usable zip archive: " + what);
    }
    static std::string shown(std::string_view name) {
        return "the member \"" + repaired_utf8(name.substr(0, 80)) + "\"";
    }

    // The little-endian number at `begin`, which the caller has checked to be in the file.
    std::uint64_t number(std::uint64_t begin, std::size_t bytes) const {
        std::uint64_t value = 0;
        for (std::size_t i = bytes; i-- > 0;)
            value = (value << 8) | static_cast<unsigned char>(file_[begin + i]);
        return value;
    }
    bool holds(std::uint64_t begin, std::uint64_t size) const {
        return begin <= file_.size() && size <= file_.size() - begin;
    }

    Directory find_directory() const {
        // At the very end, but for a comment of up to 65535 bytes.
        if (file_.size() < end_size) fail("it is too short");
        constexpr std::size_t longest_comment = 0xFFFF;
        const std::size_t last = file_.size() - end_size;
        std::size_t end = last;
        while (number(end, 4) != end_signature || number(end + 20, 2) != last - end) {
            if (end == 0 || last - end == longest_comment)
                fail("it has no directory at its end (cut off?)");
            --end;
        }
        Directory directory{number(end + 16, 4), number(end + 12, 4), number(end + 10, 2)};
        std::uint64_t disk = number(end + 4, 2) | number(end + 6, 2);
        std::uint64_t after = end;  // what follows the directory
        if (end >= locator64_size && number(end - locator64_size, 4) == locator64_signature) {
            const std::uint64_t end64 = number(end - locator64_size + 8, 8);
            if (!holds(end64, end64_size) || end64 > end - locator64_size - end64_size ||
                number(end64, 4) != end64_signature)
                fail("the end of its directory is damaged");
            directory = {number(end64 + 48, 8), number(end64 + 40, 8), number(end64 + 32, 8)};
            disk = number(end64 + 16, 4) | number(end64 + 20, 4);
            after = end64;
        }
        if (disk != 0) fail("it is one part of several");
        if (!holds(directory.begin, directory.size) || directory.begin + directory.size > after ||
            directory.count > directory.size / entry_size)
            fail("its directory does not lie within it");
        return directory;
    }

    // The members as the directory lists them; `bytes` begins at the member's own header until
    // check_members finds where its data begin.
    void read_directory(const Directory& directory) {
        members_.reserve(directory.count);
        std::uint64_t next = directory.begin;
        const std::uint64_t end = directory.begin + directory.size;
        for (std::uint64_t i = 0; i < directory.count; ++i) {
            if (end - next < entry_size || number(next, 4) != entry_signature)
                fail("its directory is damaged");
            const std::uint64_t name_size = number(next + 28, 2), extra_size = number(next + 30, 2),
                                comment_size = number(next + 32, 2);
            if (end - next - entry_size < name_size + extra_size + comment_size)
                fail("its directory is damaged");
            Member member;
            member.name = file_.substr(next + entry_size, name_size);
            member.check_sum = static_cast<std::uint32_t>(number(next + 16, 4));
            if (number(next + 8, 2) & 1) fail(shown(member.name) + " is encrypted");
            member.method = static_cast<std::uint16_t>(number(next + 10, 2));
            std::uint64_t packed = number(next + 20, 4), size = number(next + 24, 4),
                          begin = number(next + 42, 4);
            read_zip64(next + entry_size + name_size, extra_size, size, packed, begin);
            if (member.method == 0 && packed != size)
                fail(shown(member.name) + " has two different sizes");
            if (begin > directory.begin || directory.begin - begin < local_size + name_size ||
                packed > directory.begin - begin - local_size - name_size)
                fail(shown(member.name) + " does not lie within the archive");
            member.bytes = file_.substr(begin, packed);
            members_.push_back(member);
            next += entry_size + name_size + extra_size + comment_size;
        }
        if (next != end) fail("its directory is damaged");
        directory_begin_ = directory.begin;
    }

    // The zip64 field has those of the three values, in this order, that do not fit elsewhere.
    void read_zip64(std::uint64_t extra, std::uint64_t extra_size, std::uint64_t& size,
                    std::uint64_t& packed, std::uint64_t& begin) const {
        constexpr std::uint64_t zip64_field = 1;
        for (const std::uint64_t end = extra + extra_size; end - extra >= 4;) {
            const std::uint64_t id = number(extra, 2), length = number(extra + 2, 2);
            extra += 4;
            if (length > end - extra) fail("its directory is damaged");
            if (id == zip64_field) {
                std::uint64_t used = 0;
                for (std::uint64_t* value : {&size, &packed, &begin}) {
                    if (*value != in_extra) continue;
                    if (length - used < 8) fail("its directory is damaged");
                    *value = number(extra + used, 8);
                    used += 8;
                }
                return;
            }
            extra += length;
        }
    }

    void check_members() {
        // In the order of their places: each ends before the next begins.
        std::sort(members_.begin(), members_.end(),
                  [](const Member& a, const Member& b) { return a.bytes.data() < b.bytes.data(); });
        std::uint64_t free = 0;
        for (Member& member : members_) {
            const auto header = static_cast<std::uint64_t>(member.bytes.data() - file_.data());
            const std::uint64_t size = member.bytes.size();
            if (header < free) fail(shown(member.name) + " overlaps another");
            const std::uint64_t name_size = number(header + 26, 2);
            const std::uint64_t begin = header + local_size + name_size + number(header + 28, 2);
            if (number(header, 4) != local_signature || number(header + 8, 2) != member.method ||
                file_.substr(header + local_size, name_size) != member.name)
                fail(shown(member.name) + " is listed in the directory, but is not at its place");
            if (begin > directory_begin_ || size > directory_begin_ - begin)
                fail(shown(member.name) + " does not lie within the archive");
            member.bytes = file_.substr(begin, size);
            free = begin + size;
        }
        std::sort(members_.begin(), members_.end(),
                  [](const Member& a, const Member& b) { return a.name < b.name; });
        const auto twice =
            std::adjacent_find(members_.begin(), members_.end(),
                               [](const Member& a, const Member& b) { return a.name == b.name; });
        if (twice != members_.end()) fail(shown(twice->name) + " is there twice");
    }

    std::string_view file_;
    std::string where_;
    std::vector<Member> members_;
    std::uint64_t directory_begin_ = 0;
};

}  // namespace dalle2
