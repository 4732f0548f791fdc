// How PyTorch pickles a tensor: which function would make it, from which storage, and how.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dalle2/core/array.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/io/pickle.hpp>
#include <dalle2/io/tensor_view.hpp>
#include <dalle2/io/zip_archive.hpp>

namespace dalle2::detail {

// A tensor of a checkpoint: elements of a storage, `strides` apart.
struct TorchTensor {
    std::string name;
    DType dtype = DType::f32;
    Shape shape;
    std::vector<std::int64_t> strides;  // in elements, as many as the shape has extents
    std::string_view bytes;             // from its first element to its last

    // Do its elements lie one after the other, in the order of the shape?
    bool contiguous() const {
        std::int64_t expected = 1;
        for (std::size_t i = shape.size(); i-- > 0;) {
            if (shape[i] == 0) return true;
            if (shape[i] != 1 && strides[i] != expected) return false;
            expected *= shape[i];
        }
        return true;
    }

    // The elements in the order of the shape, copied.
    std::vector<std::byte> gathered() const {
        const std::size_t size = size_of(dtype);
        std::vector<std::byte> copy(static_cast<std::size_t>(element_count(shape)) * size);
        std::vector<std::int64_t> place(shape.size(), 0);
        std::size_t from = 0;
        for (std::size_t to = 0; to < copy.size(); to += size) {
            std::memcpy(copy.data() + to, bytes.data() + from * size, size);
            for (std::size_t i = shape.size(); i-- > 0;) {  // the next place, innermost first
                from += static_cast<std::size_t>(strides[i]);
                if (++place[i] < shape[i]) break;
                from -= static_cast<std::size_t>(strides[i] * shape[i]);
                place[i] = 0;
            }
        }
        return copy;
    }
};

// The classes and functions that a checkpoint of weights may name.
inline constexpr std::string_view torch_globals[] = {
    "collections.OrderedDict",
    "torch.Size",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_parameter",
    "torch.storage.UntypedStorage",
    "torch.DoubleStorage",
    "torch.FloatStorage",
    "torch.HalfStorage",
    "torch.BFloat16Storage",
    "torch.LongStorage",
    "torch.IntStorage",
    "torch.ShortStorage",
    "torch.CharStorage",
    "torch.ByteStorage",
    "torch.BoolStorage",
    "torch.float64",
    "torch.float32",
    "torch.float16",
    "torch.bfloat16",
    "torch.float8_e4m3fn",
    "torch.float8_e5m2",
    "torch.int64",
    "torch.int32",
    "torch.int16",
    "torch.int8",
    "torch.uint64",
    "torch.uint32",
    "torch.uint16",
    "torch.uint8",
    "torch.bool",
};

// The type of a storage or the dtype itself; none for other globals.
inline std::optional<DType> torch_dtype(std::string_view global) {
    constexpr std::array<std::pair<std::string_view, DType>, 25> names = {{
        {"torch.DoubleStorage", DType::f64},    {"torch.float64", DType::f64},
        {"torch.FloatStorage", DType::f32},     {"torch.float32", DType::f32},
        {"torch.HalfStorage", DType::f16},      {"torch.float16", DType::f16},
        {"torch.BFloat16Storage", DType::bf16}, {"torch.bfloat16", DType::bf16},
        {"torch.LongStorage", DType::i64},      {"torch.int64", DType::i64},
        {"torch.IntStorage", DType::i32},       {"torch.int32", DType::i32},
        {"torch.ShortStorage", DType::i16},     {"torch.int16", DType::i16},
        {"torch.CharStorage", DType::i8},       {"torch.int8", DType::i8},
        {"torch.ByteStorage", DType::u8},       {"torch.uint8", DType::u8},
        {"torch.BoolStorage", DType::boolean},  {"torch.bool", DType::boolean},
        {"torch.uint64", DType::u64},           {"torch.uint32", DType::u32},
        {"torch.uint16", DType::u16},           {"torch.float8_e4m3fn", DType::f8_e4m3},
        {"torch.float8_e5m2", DType::f8_e5m2},
    }};
    for (const auto& [name, dtype] : names)
        if (name == global) return dtype;
    return std::nullopt;
}

// Makes tensors of what a pickle says of them, and checks that each lies within its storage.
class TorchTensorReader {
public:
    // `folder` is the archive's: storages are its members folder/data/key.
    TorchTensorReader(const Pickle& pickle, const ZipArchive& archive, std::string folder,
                      std::string where)
        : pickle_(pickle),
          archive_(archive),
          folder_(std::move(folder)),
          where_(std::move(where)) {}

    // Is it a call of one of PyTorch's functions that make tensors?
    bool is_tensor(PickleValue value) const {
        return value.is(PickleValue::Kind::call) && function(value).starts_with(rebuild);
    }

    // Throws FormatError, naming the tensor, for what is not a tensor after all, is not in its
    // storage, or has far more elements than it.
    TorchTensor read(std::string name, PickleValue value) const {
        TorchTensor tensor;
        tensor.name = std::move(name);
        std::span<const PickleValue> arguments = this->arguments(value);
        if (function(value) == "torch._utils._rebuild_parameter") {
            // The tensor, whether it is trained, hooks.
            if (arguments.empty() || !is_tensor(arguments[0]) ||
                function(arguments[0]) == function(value))
                fail(tensor, "a parameter of what is not a tensor");
            value = arguments[0];
            arguments = this->arguments(value);
        }
        // The storage, the first element, shape, strides; then whether it is trained, hooks, and
        // in version 3 its dtype; then flags such as that it is the conjugate of what is stored.
        const bool typed = function(value) == "torch._utils._rebuild_tensor_v3";
        const std::size_t least = typed ? 7 : 4, flags = typed ? 7 : 6;
        if (arguments.size() < least || arguments.size() > flags + 1)
            fail(tensor, std::to_string(arguments.size()) + " arguments");
        if (arguments.size() > flags && !arguments[flags].is(PickleValue::Kind::none) &&
            !(arguments[flags].is(PickleValue::Kind::dict) &&
              pickle_.items(arguments[flags]).empty()))
            fail(tensor, "flags that are not supported (conjugate or negative)");
        tensor.dtype = typed ? dtype_of(tensor, arguments[6]) : DType::f32;
        const std::string_view storage = read_storage(tensor, arguments[0], typed);
        tensor.shape = integers(tensor, arguments[2]);
        tensor.strides = integers(tensor, arguments[3]);
        place(tensor, storage, arguments[1]);
        return tensor;
    }

private:
    static constexpr std::string_view rebuild = "torch._utils._rebuild_";
    static constexpr std::size_t most_extents = 16;
    // A tensor that uses elements of its storage several times (expand) may have this many.
    static constexpr std::uint64_t most_repeated = std::uint64_t{1} << 20;

    [[noreturn]] void fail(const TorchTensor& tensor, const std::string& what) const {
        throw FormatError(where_ + ": the tensor \"" + tensor.name + "\" has " + what);
    }
    std::string_view function(PickleValue call) const {
        return pickle_.global(pickle_.items(call)[0]);
    }
    std::span<const PickleValue> arguments(PickleValue call) const {
        return pickle_.items(pickle_.items(call)[1]);
    }

    DType dtype_of(const TorchTensor& tensor, PickleValue value) const {
        const std::string_view name =
            value.is(PickleValue::Kind::global) ? pickle_.global(value) : "";
        const std::optional<DType> dtype = torch_dtype(name);
        if (!dtype) fail(tensor, "no dtype, but " + std::string(name));
        return *dtype;
    }

    // ('storage', type, key, device, count): the bytes of a member of the archive. Sets the
    // tensor's dtype unless it is known.
    std::string_view read_storage(TorchTensor& tensor, PickleValue value, bool typed) const {
        using Kind = PickleValue::Kind;
        const auto malformed = [&]() { fail(tensor, "a malformed storage"); };
        if (!value.is(Kind::persistent)) malformed();
        const PickleValue description = pickle_.items(value)[0];
        if (!description.is(Kind::tuple)) malformed();
        const auto parts = pickle_.items(description);
        if (parts.size() != 5 || !parts[0].is(Kind::text) || pickle_.text(parts[0]) != "storage" ||
            !parts[1].is(Kind::global) || !parts[2].is(Kind::text) || !parts[4].is(Kind::integer) ||
            parts[4].integer() < 0)
            malformed();
        std::uint64_t size = 1;
        if (pickle_.global(parts[1]) != "torch.storage.UntypedStorage") {
            const DType dtype = dtype_of(tensor, parts[1]);
            if (!typed) tensor.dtype = dtype;
            size = size_of(dtype);
        } else if (!typed) {
            malformed();
        }
        const std::string key(pickle_.text(parts[2]).substr(0, 100));
        const std::string member = folder_ + "/data/" + key;
        const ZipArchive::Member* const found = archive_.find(member);
        if (!found)
            fail(tensor, "its elements in " + repaired_utf8(member) + ", which is not there");
        const auto count = static_cast<std::uint64_t>(parts[4].integer());
        if (found->bytes.size() % size != 0 || found->bytes.size() / size != count)
            fail(tensor, "its elements in " + repaired_utf8(member) + ", which has " +
                             std::to_string(found->bytes.size()) + " bytes; expected " +
                             std::to_string(count) + " elements of " + std::to_string(size));
        return found->bytes;
    }

    // A tuple of numbers, or a torch.Size of one.
    std::vector<std::int64_t> integers(const TorchTensor& tensor, PickleValue value) const {
        if (value.is(PickleValue::Kind::call) && function(value) == "torch.Size" &&
            arguments(value).size() == 1)
            value = arguments(value)[0];
        if (!value.is(PickleValue::Kind::tuple))
            fail(tensor, "a shape or strides that are no tuple");
        if (pickle_.items(value).size() > most_extents)
            fail(tensor, "more than " + std::to_string(most_extents) + " extents");
        std::vector<std::int64_t> numbers;
        for (const PickleValue number : pickle_.items(value)) {
            if (!number.is(PickleValue::Kind::integer) || number.integer() < 0)
                fail(tensor, "an extent or stride that is no number from 0");
            numbers.push_back(number.integer());
        }
        return numbers;
    }

    // Finds the tensor's bytes in its storage. Every product is checked before it is made.
    void place(TorchTensor& tensor, std::string_view storage, PickleValue offset) const {
        const auto outside = [&] {
            fail(tensor, "the shape " + to_string(tensor.shape) + " and strides " +
                             to_string(tensor.strides) + ", which reach beyond its storage of " +
                             std::to_string(storage.size()) + " bytes");
        };
        if (tensor.strides.size() != tensor.shape.size())
            fail(tensor, std::to_string(tensor.shape.size()) + " extents and " +
                             std::to_string(tensor.strides.size()) + " strides");
        const std::uint64_t size = size_of(tensor.dtype), available = storage.size() / size;
        if (!offset.is(PickleValue::Kind::integer) || offset.integer() < 0) outside();
        const auto first = static_cast<std::uint64_t>(offset.integer());
        if (checked_byte_count(tensor.shape, tensor.dtype,
                               where_ + ", tensor \"" + tensor.name + "\"") == 0)
            return;
        std::uint64_t last = first;
        for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
            const auto steps = static_cast<std::uint64_t>(tensor.shape[i] - 1);
            const auto stride = static_cast<std::uint64_t>(tensor.strides[i]);
            if (steps == 0) continue;
            if (last >= available || stride > (available - 1 - last) / steps) outside();
            last += steps * stride;
        }
        if (last >= available) outside();
        if (const auto count = static_cast<std::uint64_t>(element_count(tensor.shape));
            count > available && count > most_repeated)
            fail(tensor, std::to_string(count) + " elements, which repeat the " +
                             std::to_string(available) + " of its storage too often");
        tensor.bytes = storage.substr(first * size, (last - first + 1) * size);
    }

    const Pickle& pickle_;
    const ZipArchive& archive_;
    std::string folder_;
    std::string where_;
};

}  // namespace dalle2::detail
