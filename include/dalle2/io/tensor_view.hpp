// A tensor as a weight file holds it: its element type, its shape, its bytes.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include <dalle2/core/array.hpp>
#include <dalle2/core/bfloat16.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/core/float16.hpp>
#include <dalle2/core/float8.hpp>

namespace dalle2 {

static_assert(std::endian::native == std::endian::little,
              "weight files are little-endian, and are mapped as they are");

// The element types, those of the safetensors format; PyTorch's have the same among them.
enum class DType {
    f64,
    f32,
    f16,
    bf16,
    i64,
    i32,
    i16,
    i8,
    u64,
    u32,
    u16,
    u8,
    boolean,
    f8_e4m3,
    f8_e5m2
};

namespace detail {

struct DTypeFacts {
    DType dtype;
    std::string_view name;
    std::size_t size;
};
inline constexpr std::array<DTypeFacts, 15> dtype_facts = {{
    {DType::f64, "F64", 8},
    {DType::f32, "F32", 4},
    {DType::f16, "F16", 2},
    {DType::bf16, "BF16", 2},
    {DType::i64, "I64", 8},
    {DType::i32, "I32", 4},
    {DType::i16, "I16", 2},
    {DType::i8, "I8", 1},
    {DType::u64, "U64", 8},
    {DType::u32, "U32", 4},
    {DType::u16, "U16", 2},
    {DType::u8, "U8", 1},
    {DType::boolean, "BOOL", 1},
    {DType::f8_e4m3, "F8_E4M3", 1},
    {DType::f8_e5m2, "F8_E5M2", 1},
}};

}  // namespace detail

// The name in a safetensors header, such as "BF16".
inline constexpr std::string_view to_string(DType dtype) {
    return detail::dtype_facts[static_cast<std::size_t>(dtype)].name;
}
inline constexpr std::size_t size_of(DType dtype) {
    return detail::dtype_facts[static_cast<std::size_t>(dtype)].size;
}

// The elements in the order of the shape, the last extent innermost; not aligned for their type.
// The bytes are valid as long as the file that they are mapped from, or as `owner` if they are a
// copy.
struct TensorView {
    DType dtype = DType::f32;
    Shape shape;
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> owner;
};

namespace detail {

// The bytes of a tensor. Throws FormatError when they could not be counted (or, with a zero among
// the extents, when the others alone could not).
inline std::uint64_t checked_byte_count(const Shape& shape, DType dtype, const std::string& where) {
    constexpr std::uint64_t limit = std::uint64_t{1} << 62;
    std::uint64_t count = size_of(dtype);
    bool empty = false;
    for (const std::int64_t extent : shape) {
        if (extent < 0) throw FormatError(where + ": a negative extent in " + to_string(shape));
        if (extent == 0) {
            empty = true;
        } else if (count > limit / static_cast<std::uint64_t>(extent)) {
            throw FormatError(where + ": the shape " + to_string(shape) + " is absurdly large");
        } else {
            count *= static_cast<std::uint64_t>(extent);
        }
    }
    return empty ? 0 : count;
}

template <class Stored>
void convert_to_float(std::span<const std::byte> bytes, float* values) {
    const std::size_t count = bytes.size() / sizeof(Stored);
    if constexpr (std::is_same_v<Stored, float>) {
        if (count > 0) std::memcpy(values, bytes.data(), count * sizeof(float));
        return;
    }
    for (std::size_t i = 0; i < count; ++i) {
        Stored stored;
        std::memcpy(&stored, bytes.data() + i * sizeof(Stored), sizeof(Stored));
        values[i] = static_cast<float>(stored);
    }
}

}  // namespace detail

// Writes the values of elements of a type, as float, to `values`: as many as there are bytes for.
inline void to_floats(DType dtype, std::span<const std::byte> bytes, float* values) {
    switch (dtype) {
        case DType::f64: return detail::convert_to_float<double>(bytes, values);
        case DType::f32: return detail::convert_to_float<float>(bytes, values);
        case DType::f16: return float16_to_float(bytes.data(), bytes.size() / 2, values);
        case DType::bf16: return detail::convert_to_float<bfloat16>(bytes, values);
        case DType::i64: return detail::convert_to_float<std::int64_t>(bytes, values);
        case DType::i32: return detail::convert_to_float<std::int32_t>(bytes, values);
        case DType::i16: return detail::convert_to_float<std::int16_t>(bytes, values);
        case DType::i8: return detail::convert_to_float<std::int8_t>(bytes, values);
        case DType::u64: return detail::convert_to_float<std::uint64_t>(bytes, values);
        case DType::u32: return detail::convert_to_float<std::uint32_t>(bytes, values);
        case DType::u16: return detail::convert_to_float<std::uint16_t>(bytes, values);
        case DType::u8:
        case DType::boolean: return detail::convert_to_float<std::uint8_t>(bytes, values);
        case DType::f8_e4m3: return detail::convert_to_float<Float8E4M3>(bytes, values);
        case DType::f8_e5m2: return detail::convert_to_float<Float8E5M2>(bytes, values);
    }
}

// The same for a whole tensor.
inline void to_floats(const TensorView& view, float* values) {
    to_floats(view.dtype, view.bytes, values);
}

// A copy as floats.
inline Array to_array(const TensorView& view) {
    Array array = make_array(view.shape);
    to_floats(view, array.data());
    return array;
}

}  // namespace dalle2
