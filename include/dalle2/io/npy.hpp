// Arrays as NumPy's .npy files: a line of text about shape and type, then the numbers.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include <dalle2/core/array.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/io/atomic_file.hpp>
#include <dalle2/io/file.hpp>

namespace dalle2 {

namespace detail {

inline constexpr std::string_view npy_magic("\x93NUMPY\1\0", 8);  // and the version, 1.0

// The text of a header, such as {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
inline std::string npy_dictionary(const Shape& shape) {
    std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
    for (std::size_t i = 0; i < shape.size(); ++i)
        text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + (shape.size() == 1 ? ",), }" : "), }");
}

// Reads such a text back. Python allows other spaces and orders; every writer uses this one.
class NpyHeader {
public:
    NpyHeader(std::string_view text, const std::string& name) : rest_(text), name_(name) {}

    Shape shape() {
        expect("{'descr': '<f4', 'fortran_order': False, 'shape': (");
        Shape shape;
        while (!rest_.starts_with(')')) {
            shape.push_back(number());
            if (rest_.starts_with(')') && shape.size() > 1) break;
            expect(",");
            if (rest_.starts_with(' ')) rest_.remove_prefix(1);
        }
        expect("), }");
        if (rest_.find_first_not_of(" \n") != std::string_view::npos) expect("\n");
        return shape;
    }

private:
    void expect(std::string_view text) {
        if (!rest_.starts_with(text))
            throw FormatError(name_ + ": its header does not go on with \"" + std::string(text) +
                              "\"; expected little-endian floats in C order, as numpy.save writes "
                              "float32");
        rest_.remove_prefix(text.size());
    }
    std::int64_t number() {
        constexpr std::int64_t largest = std::int64_t{1} << 40;
        std::int64_t value = 0;
        std::size_t digits = 0;
        for (; digits < rest_.size() && rest_[digits] >= '0' && rest_[digits] <= '9'; ++digits)
            if ((value = value * 10 + (rest_[digits] - '0')) > largest)
                throw FormatError(name_ + ": a side of its shape is too large");
        if (digits == 0) expect("0");
        rest_.remove_prefix(digits);
        return value;
    }

    std::string_view rest_;
    const std::string& name_;
};

}  // namespace detail

// Writes float32, complete or not at all. Throws IoError.
inline void write_npy(const std::filesystem::path& path, const Array& array) {
    static_assert(std::endian::native == std::endian::little);
    std::string header(detail::npy_magic);
    std::string text = detail::npy_dictionary(shape_of(array));
    // The numbers begin at a multiple of 64 bytes.
    const std::size_t before = header.size() + 2;
    text.append(63 - (before + text.size()) % 64, ' ') += '\n';
    header += static_cast<char>(text.size() & 0xFF);
    header += static_cast<char>(text.size() >> 8);
    AtomicFile file(path);
    file.write(header + text);
    file.write(array.data(), array.size() * sizeof(float));
    file.commit();
}

// Reads a file of little-endian float32 in C order. Throws IoError when it cannot be opened,
// FormatError for another type or order, and for a file that is shorter or longer than its shape.
inline Array read_npy(const std::filesystem::path& path, std::uint64_t limit = 1u << 31) {
    const std::string bytes = read_file(path, limit), name = path.string();
    const auto fail = [&](const std::string& why) {
        throw FormatError(name + ": " + why + "; expected a .npy file of version 1.0");
    };
    if (!std::string_view(bytes).starts_with(detail::npy_magic)) fail("does not begin like one");
    if (bytes.size() < 10) fail("ends in its header");
    const std::size_t length =
        static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]);
    if (bytes.size() - 10 < length) fail("ends in its header");
    const Shape shape = detail::NpyHeader(std::string_view(bytes).substr(10, length), name).shape();
    const std::size_t data = 10 + length, count = (bytes.size() - data) / sizeof(float);
    // Without multiplying what may overflow.
    std::size_t left = count;
    bool empty = false;
    for (const std::int64_t side : shape) empty = empty || side == 0;
    for (const std::int64_t side : shape)
        if (!empty) left /= static_cast<std::size_t>(side);
    if (!empty && left == 0) fail("has fewer numbers than its shape " + to_string(shape));
    if (element_count(empty ? Shape{0} : shape) * static_cast<std::int64_t>(sizeof(float)) !=
        static_cast<std::int64_t>(bytes.size() - data))
        fail("does not have as many numbers as its shape " + to_string(shape));
    Array array = make_array(shape);
    if (array.size() > 0) std::memcpy(array.data(), bytes.data() + data, bytes.size() - data);
    return array;
}

}  // namespace dalle2
