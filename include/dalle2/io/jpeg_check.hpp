// What stb_image must be spared: up to version 2.27, the one in Debian 12, it writes beyond its
// tables for a JPEG file with a Huffman table of more than 256 symbols.
#pragma once

#include <cstddef>
#include <string_view>

namespace dalle2::detail {

class JpegCheck {
public:
    explicit JpegCheck(std::string_view file) : file_(file) {}

    // Is every Huffman table of a size that a decoder may rely on?
    bool holds() {
        if (next_marker() != start_of_image) return true;  // not JPEG: the decoder will say so
        int marker = next_marker();
        while (marker != start_of_scan) {
            if (position_ >= file_.size() || marker == end_of_image) return true;
            if (marker == no_marker) {
                marker = next_marker();
                continue;
            }
            const std::size_t begin = position_;
            const std::size_t length = word();
            if (length < 2) return false;
            if (marker == huffman_tables && !tables_hold(begin + 2, length - 2)) return false;
            position_ = begin + length;
            marker = next_marker();
        }
        // In the coded data a marker cannot occur by chance, so each one counts; what follows the
        // end of the picture is not given to the decoder.
        end_ = file_.size();
        ends_ = false;
        for (std::size_t i = position_; i + 1 < file_.size(); ++i) {
            if (at(i) != 0xFF) continue;
            if (at(i + 1) == end_of_image) {
                end_ = i + 2;
                ends_ = true;
                break;
            }
            if (at(i + 1) != huffman_tables) continue;
            position_ = i + 2;
            const std::size_t length = word();
            if (length < 2 || !tables_hold(i + 4, length - 2)) return false;
        }
        return true;
    }

    // False for a JPEG file in which the marker of the end is missing.
    bool ends() const { return ends_; }

    // The part of the file that was checked.
    std::string_view checked() const { return file_.substr(0, end_); }

private:
    static constexpr int no_marker = -1, huffman_tables = 0xC4, start_of_image = 0xD8,
                         end_of_image = 0xD9, start_of_scan = 0xDA;

    // Beyond the end there are zeros, as for the decoder.
    int at(std::size_t i) const {
        return i < file_.size() ? static_cast<unsigned char>(file_[i]) : 0;
    }
    std::size_t word() {
        const int value = at(position_) * 256 + at(position_ + 1);
        position_ += 2;
        return static_cast<std::size_t>(value);
    }
    int next_marker() {
        int value = at(position_++);
        if (value != 0xFF) return no_marker;
        while (value == 0xFF) value = at(position_++);
        return value;
    }
    // Tables of one byte of identity, sixteen counts and as many symbols.
    bool tables_hold(std::size_t begin, std::size_t length) const {
        for (const std::size_t end = begin + length; begin < end;) {
            int symbols = 0;
            for (std::size_t i = 1; i <= 16; ++i) symbols += at(begin + i);
            if (symbols > 256) return false;
            begin += 17 + static_cast<std::size_t>(symbols);
        }
        return true;
    }

    std::string_view file_;
    std::size_t position_ = 0;
    std::size_t end_ = std::string_view::npos;
    bool ends_ = true;
};

}  // namespace dalle2::detail
