// safetensors files: 8 bytes with the length of a JSON header, the header (name → dtype, shape,
// place of the bytes), the bytes. https://huggingface.co/docs/safetensors
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dalle2/core/array.hpp>
#include <dalle2/core/bfloat16.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/io/atomic_file.hpp>
#include <dalle2/io/mapped_file.hpp>
#include <dalle2/io/safetensors_header.hpp>
#include <dalle2/io/tensor_view.hpp>

namespace dalle2 {

// A safetensors file, mapped into memory: opening reads its header alone, and a tensor's pages are
// read when they are used. Every rule of the format is checked on opening. The file must not be
// shortened by another program meanwhile. Throws IoError when it cannot be opened, FormatError.
class SafetensorsFile {
public:
    explicit SafetensorsFile(const std::filesystem::path& path)
        : file_(std::make_shared<const MappedFile>(path)) {
        header_ = detail::read_safetensors_header(file_->bytes(), path.string());
    }

    const std::filesystem::path& path() const { return file_->path(); }
    // Whoever holds it keeps the bytes of all views where they are.
    std::shared_ptr<const MappedFile> mapping() const { return file_; }

    // The names of the tensors in the order of their bytes.
    std::vector<std::string> names() const {
        std::vector<std::string> names;
        for (const auto& tensor : header_.tensors) names.push_back(tensor.name);
        return names;
    }
    bool contains(const std::string& name) const { return header_.find(name) != nullptr; }

    // The header's __metadata__: free text such as {"format": "pt"}.
    const std::map<std::string, std::string>& metadata() const { return header_.metadata; }

    // These throw FormatError when there is no such tensor.
    const Shape& shape(const std::string& name) const { return find(name).shape; }
    DType dtype(const std::string& name) const { return find(name).dtype; }
    TensorView view(const std::string& name) const {
        const auto& tensor = find(name);
        return {tensor.dtype, tensor.shape, std::as_bytes(std::span(bytes_of(tensor))), {}};
    }

    // A copy of the tensor as floats.
    Array to_array(const std::string& name) const { return dalle2::to_array(view(name)); }

    // The tensor's pages need not stay in memory.
    void forget(const std::string& name) const { file_->forget(bytes_of(find(name))); }
    void prefer_large_pages() const { file_->prefer_large_pages(); }

private:
    using Entry = detail::SafetensorsHeader::Tensor;

    const Entry& find(const std::string& name) const {
        const Entry* const found = header_.find(name);
        if (!found)
            throw FormatError(path().string() + ": no tensor \"" + name + "\" among the " +
                              std::to_string(header_.tensors.size()) + " of the file");
        return *found;
    }
    std::string_view bytes_of(const Entry& tensor) const {
        return file_->bytes().substr(header_.data_begin + tensor.begin, tensor.end - tensor.begin);
    }

    std::shared_ptr<const MappedFile> file_;
    detail::SafetensorsHeader header_;
};

// What the header of a file to be written says of a tensor.
struct TensorInfo {
    std::string name;
    Shape shape;
    DType dtype = DType::f32;
};

using SafetensorsMetadata = std::map<std::string, std::string>;

// PyTorch's readers ask for this.
inline SafetensorsMetadata default_safetensors_metadata() { return {{"format", "pt"}}; }

// Writes a safetensors file tensor by tensor, in the order of `tensors`, without holding more than
// a piece of one. The file appears on commit(), complete. Throws IoError when it cannot be
// written, FormatError for a duplicate name, ShapeError for values that do not fit the shape.
class SafetensorsWriter {
public:
    // The tensors' bytes begin at a multiple of `alignment`, which is one of 8.
    SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorInfo> tensors,
                      const SafetensorsMetadata& metadata = default_safetensors_metadata(),
                      std::size_t alignment = 8)
        : tensors_(std::move(tensors)), file_(path) {
        // Before the first byte: a header that could not be read back is not written.
        std::string header = detail::make_safetensors_header(
            tensors_, [](const TensorInfo& tensor) { return byte_count(tensor); }, metadata,
            path.string());
        const std::size_t begin = sizeof(std::uint64_t) + header.size();
        header.append((alignment - begin % alignment) % alignment, ' ');
        const std::uint64_t length = header.size();
        file_.write(&length, sizeof length);
        file_.write(header);
    }

    // The values of the next tensor, rounded to nearest even where its dtype is shorter.
    void add(std::span<const float> values) {
        const TensorInfo& tensor = begin_tensor(values.size());
        switch (tensor.dtype) {
            case DType::f32: file_.write(values.data(), values.size_bytes()); return;
            case DType::bf16: write_as<bfloat16>(values); return;
            case DType::f16: write_as<float16>(values); return;
            case DType::f64: write_as<double>(values); return;
            default:
                throw FormatError("tensor \"" + tensor.name + "\": floats cannot be written as " +
                                  std::string(to_string(tensor.dtype)));
        }
    }
    void add(const Array& array) { add(std::span<const float>(array.data(), array.size())); }

    // The bytes of the next tensor as they are, for the types that are not floats.
    void add_bytes(std::span<const std::byte> bytes) {
        const TensorInfo& tensor = next_tensor();
        if (bytes.size() != byte_count(tensor))
            throw ShapeError("tensor \"" + tensor.name + "\": " + std::to_string(bytes.size()) +
                             " bytes for a shape of " + to_string(tensor.shape));
        ++next_;
        file_.write(bytes.data(), bytes.size());
    }

    void commit() {
        if (next_ != tensors_.size())
            throw FormatError(file_.path().string() + ": only " + std::to_string(next_) + " of " +
                              std::to_string(tensors_.size()) + " tensors were written");
        file_.commit();
    }

private:
    static std::uint64_t byte_count(const TensorInfo& tensor) {
        return detail::checked_byte_count(tensor.shape, tensor.dtype,
                                          "tensor \"" + tensor.name + "\"");
    }
    const TensorInfo& next_tensor() const {
        if (next_ >= tensors_.size())
            throw FormatError(file_.path().string() + ": more tensors than the " +
                              std::to_string(tensors_.size()) + " announced");
        return tensors_[next_];
    }
    const TensorInfo& begin_tensor(std::size_t count) {
        const TensorInfo& tensor = next_tensor();
        if (static_cast<std::int64_t>(count) != element_count(tensor.shape))
            throw ShapeError("tensor \"" + tensor.name + "\": " + std::to_string(count) +
                             " values for a shape of " + to_string(tensor.shape));
        ++next_;
        return tensor;
    }
    template <class Stored>
    void write_as(std::span<const float> values) {
        std::array<Stored, 4096> piece;
        for (std::size_t begin = 0; begin < values.size(); begin += piece.size()) {
            const std::size_t count = std::min(piece.size(), values.size() - begin);
            for (std::size_t i = 0; i < count; ++i)
                piece[i] = static_cast<Stored>(values[begin + i]);
            file_.write(piece.data(), count * sizeof(Stored));
        }
    }

    std::vector<TensorInfo> tensors_;
    AtomicFile file_;
    std::size_t next_ = 0;
};

// Writes the arrays, in their order, all as `dtype` (F32, BF16, F16 or F64). Throws as the writer
// does.
inline void write_safetensors(
    const std::filesystem::path& path, const std::vector<std::pair<std::string, Array>>& tensors,
    DType dtype = DType::f32,
    const SafetensorsMetadata& metadata = default_safetensors_metadata()) {
    std::vector<TensorInfo> infos;
    for (const auto& [name, array] : tensors) infos.push_back({name, shape_of(array), dtype});
    SafetensorsWriter writer(path, std::move(infos), metadata);
    for (const auto& [name, array] : tensors) writer.add(array);
    writer.commit();
}

}  // namespace dalle2
