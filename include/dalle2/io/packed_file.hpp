// Weights in a file in the order in which the CPU engines multiply them (packed_weights.hpp): they
// are used where they lie, mapped, instead of being converted and copied. Programs that run at the
// same time share them.
//
// It is a safetensors file whose metadata says "packed", with a text of JSON:
//     {"version": 1, "shapes": {"w": [out, in] or [out, in, height, width], …}}
// Each of these tensors is stored as one row of F32, BF16 or I8, in the order of PackedLayout.
// Beside a weight w of I8 are w_scale (F32) and w_sum (I32), one for each output. The tensor
// packed_checks (U64 [n, 2]) has a row for each other one, in the order of their bytes: a sum of
// its bytes (check_sum.hpp), and how many of its values are infinite or not a number. All of this
// is the same for every processor, and what changes it raises packed_version.
//
// The file must not be written to while a program uses it; a new one may take its name.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/arena.hpp>
#include <dalle2/core/array.hpp>
#include <dalle2/core/bfloat16.hpp>
#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/io/check_sum.hpp>
#include <dalle2/io/int8_tensor.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/io/safetensors.hpp>
#include <dalle2/kernels/any_packed_weights.hpp>
#include <dalle2/kernels/parallel.hpp>

namespace dalle2 {

inline constexpr const char* packed_metadata_key = "packed";
inline constexpr std::int64_t packed_version = 1;
inline constexpr const char* packed_checks_name = "packed_checks";

inline std::string packed_sum_name(const std::string& weight) { return weight + "_sum"; }

namespace detail {

// Writes the elements in the order of their shape.
template <class T>
void unpack(const kernels::PackedLayout<T>& layout, const std::byte* packed, std::byte* to) {
    const std::int64_t row = layout.in * layout.kernel_height * layout.kernel_width;
    constexpr std::int64_t size = sizeof(T);
    kernels::parallel_for(layout.out, [&](std::int64_t o, int) {
        std::byte* next = to + o * row * size;
        for (std::int64_t i = 0; i < layout.in; ++i)
            for (std::int64_t y = 0; y < layout.kernel_height; ++y)
                for (std::int64_t x = 0; x < layout.kernel_width; ++x, next += size)
                    std::memcpy(next, packed + layout.index(o, i, y, x) * size, sizeof(T));
    });
}

}  // namespace detail

// Such a file, mapped. To code that knows nothing of packing it shows tensors in their own order.
class PackedFile {
public:
    static bool is_one(const SafetensorsFile& file) {
        return file.metadata().contains(packed_metadata_key);
    }

    // Throws FormatError for a file of another version and one that contradicts itself.
    explicit PackedFile(SafetensorsFile file) : file_(std::move(file)) {
        const Json shapes = read_shapes();
        read_checks();
        for (const auto& [name, extents] : shapes.items()) add_packed(name, shape_of(extents));
        file_.prefer_large_pages();
    }

    const std::filesystem::path& path() const { return file_.path(); }
    const std::map<std::string, std::string>& metadata() const { return file_.metadata(); }
    std::vector<std::string> names() const {
        std::vector<std::string> names = file_.names();
        std::erase_if(names, [&](const std::string& name) { return !contains(name); });
        return names;
    }
    bool contains(const std::string& name) const {
        const auto found = parts_.find(name);
        return found != parts_.end() && !found->second.belongs_to_one;
    }
    bool is_packed(const std::string& name) const {
        const auto found = parts_.find(name);
        return found != parts_.end() && !found->second.packed.empty();
    }
    const Shape& shape(const std::string& name) const {
        return is_packed(name) ? parts_.at(name).packed : file_.shape(name);
    }
    DType dtype(const std::string& name) const { return file_.dtype(name); }

    // A copy where the tensor is packed. Throws FormatError as check.
    TensorView view(const std::string& name) const {
        const TensorView stored = checked_view(name);
        if (!is_packed(name)) return stored;
        const Shape& wanted = shape(name);
        const auto bytes = std::make_shared<std::vector<std::byte>>(
            static_cast<std::size_t>(element_count(wanted)) * size_of(stored.dtype));
        const std::byte* const packed = stored.bytes.data();
        if (stored.dtype == DType::f32)
            detail::unpack(kernels::packed_layout<float>(wanted), packed, bytes->data());
        else if (stored.dtype == DType::bf16)
            detail::unpack(kernels::packed_layout<bfloat16>(wanted), packed, bytes->data());
        else
            detail::unpack(kernels::packed_layout<std::int8_t>(wanted), packed, bytes->data());
        return {stored.dtype, wanted, *bytes, bytes};
    }
    Array to_array(const std::string& name) const { return dalle2::to_array(view(name)); }
    // A packed weight where it lies, for as long as anybody holds it; who takes it calls check.
    // Nothing for other tensors, and where a foreign program has put it at a place from which
    // kernels cannot read. Throws FormatError for scales of int8 that are no positive numbers.
    std::optional<kernels::AnyPackedWeights> packed(const std::string& name) const {
        if (!is_packed(name)) return std::nullopt;
        const TensorView view = file_.view(name);
        if (reinterpret_cast<std::uintptr_t>(view.bytes.data()) % ArenaLayout::unit != 0)
            return std::nullopt;
        switch (view.dtype) {
            case DType::f32: return in_place<float>(name, view);
            case DType::bf16: return in_place<bfloat16>(name, view);
            default:
                check_scales(to_array(int8_scale_name(name)),
                             path().string() + ": the tensor " + int8_scale_name(name));
                return kernels::Int8Weights(in_place<std::int8_t>(name, view),
                                            for_outputs<float>(name, int8_scale_name(name)),
                                            for_outputs<std::int32_t>(name, packed_sum_name(name)));
        }
    }

    // Throws FormatError when the tensor's bytes are not those that were written.
    void check(const std::string& name) const { (void)checked_view(name); }

    // How many values of the tensor are infinite or not a number.
    std::int64_t not_finite(const std::string& name) const {
        return static_cast<std::int64_t>(parts_.at(name).not_finite);
    }
    void forget(const std::string& name) const { file_.forget(name); }

private:
    // What is known of a tensor besides its header.
    struct Part {
        std::uint64_t check_sum = 0, not_finite = 0;
        Shape packed = {};            // its own shape, of a packed one
        bool belongs_to_one = false;  // w_sum
    };

    [[noreturn]] void fail(const std::string& what) const {
        throw FormatError(path().string() + ": " + what);
    }

    Json read_shapes() const {
        const Json packed = parse_json(metadata().at(packed_metadata_key),
                                       path().string() + ", \"packed\" in its metadata");
        const Json& version = value_at(packed, "version");
        if (!version.is_number_integer() || version.get<std::int64_t>() != packed_version)
            fail("weights packed by another version of this library (" +
                 version.dump().substr(0, 20) + ", this one reads " +
                 std::to_string(packed_version) +
                 "); make the file anew with `dalle2 convert --packed`");
        const Json& shapes = value_at(packed, "shapes");
        if (!shapes.is_object()) fail("no \"shapes\" in \"packed\" of its metadata");
        return shapes;
    }
    static Shape shape_of(const Json& extents) {
        Shape shape;
        if (extents.is_array())
            for (const Json& extent : extents)
                shape.push_back(extent.is_number_unsigned() ? extent.get<std::int64_t>() : 0);
        return shape;
    }

    void add_packed(const std::string& name, const Shape& shape) {
        constexpr std::int64_t most = std::int64_t{1} << 40;  // padded, a few times as many
        std::int64_t count = 1;
        for (const std::int64_t extent : shape)
            count = extent > 0 && count <= most / extent ? count * extent : most + 1;
        if ((shape.size() != 2 && shape.size() != 4) || count > most)
            fail("the packed tensor " + name + " is said to be " + to_string(shape) +
                 "; expected two or four extents");
        const auto found = parts_.find(name);
        if (found == parts_.end()) fail("the packed tensor " + name + " is not there");
        const DType dtype = file_.dtype(name);
        const Shape stored = {dtype == DType::f32 ? kernels::packed_layout<float>(shape).size()
                              : dtype == DType::bf16
                                  ? kernels::packed_layout<bfloat16>(shape).size()
                                  : kernels::packed_layout<std::int8_t>(shape).size()};
        if (dtype != DType::f32 && dtype != DType::bf16 && dtype != DType::i8)
            fail("the packed tensor " + name + " is " + std::string(to_string(dtype)) +
                 "; expected F32, BF16 or I8");
        check_stored(name, dtype, stored);
        found->second.packed = shape;
        if (dtype != DType::i8) return;
        check_stored(int8_scale_name(name), DType::f32, {shape[0]});
        check_stored(packed_sum_name(name), DType::i32, {shape[0]});
        parts_.at(packed_sum_name(name)).belongs_to_one = true;
    }
    void check_stored(const std::string& name, DType dtype, const Shape& shape) const {
        if (!file_.contains(name)) fail("the tensor " + name + " is not there");
        if (file_.dtype(name) != dtype || file_.shape(name) != shape)
            fail("the tensor " + name + " is " + std::string(to_string(file_.dtype(name))) + " " +
                 to_string(file_.shape(name)) + ", expected " + std::string(to_string(dtype)) +
                 " " + to_string(shape));
    }

    void read_checks() {
        std::vector<std::string> names = file_.names();
        std::erase(names, packed_checks_name);
        check_stored(packed_checks_name, DType::u64, {static_cast<std::int64_t>(names.size()), 2});
        const TensorView view = file_.view(packed_checks_name);
        for (std::size_t i = 0; i < names.size(); ++i) {
            std::uint64_t row[2];
            std::memcpy(row, view.bytes.data() + i * sizeof row, sizeof row);
            Part& part = parts_[names[i]];
            part.check_sum = row[0];
            part.not_finite = row[1];
        }
    }

    // As it is stored.
    TensorView checked_view(const std::string& name) const {
        TensorView view = file_.view(name);
        const auto part = parts_.find(name);
        if (part == parts_.end() || check_sum(view.bytes) != part->second.check_sum)
            fail("the tensor " + name +
                 " is damaged: its bytes are not those that were written; make the file anew with "
                 "`dalle2 convert --packed`");
        return view;
    }

    template <class T>
    kernels::PackedWeights<T> in_place(const std::string& name, const TensorView& view) const {
        return {kernels::packed_layout<T>(shape(name)),
                std::shared_ptr<const T>(file_.mapping(),
                                         reinterpret_cast<const T*>(view.bytes.data()))};
    }
    template <class T>
    kernels::AlignedBuffer<T> for_outputs(const std::string& weight,
                                          const std::string& name) const {
        const BufferPool::Outside outside;  // it stays
        const TensorView view = checked_view(name);
        const auto layout = kernels::packed_layout<std::int8_t>(shape(weight));
        kernels::AlignedBuffer<T> values(layout.panels() * kernels::panel_width);
        std::fill_n(values.get(), layout.panels() * kernels::panel_width, T(0));
        std::memcpy(values.get(), view.bytes.data(), view.bytes.size());
        return values;
    }

    SafetensorsFile file_;
    std::map<std::string, Part> parts_;  // of every tensor but the checks
};

}  // namespace dalle2
