// PyTorch's checkpoints (.bin, .pt, .pth, .ckpt): a zip archive with a pickle that says which
// tensors there are, and a member for the bytes of each storage. Only weights are read, and
// nothing in such a file is executed.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <dalle2/core/array.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/io/mapped_file.hpp>
#include <dalle2/io/pickle.hpp>
#include <dalle2/io/tensor_view.hpp>
#include <dalle2/io/torch_tensor.hpp>
#include <dalle2/io/utf8.hpp>
#include <dalle2/io/zip_archive.hpp>

namespace dalle2 {

// A checkpoint of torch.save since PyTorch 1.6, mapped into memory: opening reads its directory
// and its pickle, and a tensor's pages are read when they are used. It is a dict of tensors, or
// one that has it under "state_dict" or another usual key; what else is beside the tensors
// (numbers, texts, an optimizer's state) is passed over. Throws IoError when it cannot be opened,
// FormatError for anything that is not such a file, with the way to convert it where there is one.
class TorchCheckpoint {
public:
    explicit TorchCheckpoint(const std::filesystem::path& path) : file_(path) {
        const std::string where = path.string();
        refuse_other_formats(file_.bytes(), where);
        const ZipArchive archive(file_.bytes(), where);
        const std::string folder = folder_of(archive, where);
        const ZipArchive::Member& pickled = *archive.find(folder + "/data.pkl");
        archive.check(pickled);
        const Pickle pickle(pickled.bytes, detail::torch_globals,
                            where + ", " + repaired_utf8(pickled.name));
        read_tensors(pickle, detail::TorchTensorReader(pickle, archive, folder, where), where);
    }

    const std::filesystem::path& path() const { return file_.path(); }

    // The names of the tensors in the order of their bytes. Tied weights, several names for one
    // tensor, are all there.
    std::vector<std::string> names() const {
        std::vector<std::string> names;
        for (const auto& tensor : tensors_) names.push_back(tensor.name);
        return names;
    }
    bool contains(const std::string& name) const { return index_.contains(name); }

    // These throw FormatError when there is no such tensor.
    const Shape& shape(const std::string& name) const { return find(name).shape; }
    DType dtype(const std::string& name) const { return find(name).dtype; }
    // The tensor's bytes in the order of its shape: those of the file where they lie so, otherwise
    // (a transposed tensor, a column) a copy that the view owns.
    TensorView view(const std::string& name) const {
        const detail::TorchTensor& tensor = find(name);
        if (tensor.contiguous())
            return {tensor.dtype, tensor.shape, std::as_bytes(std::span(tensor.bytes)), {}};
        const auto copy = std::make_shared<const std::vector<std::byte>>(tensor.gathered());
        return {tensor.dtype, tensor.shape, std::span(*copy), copy};
    }
    // A copy of the tensor as floats.
    Array to_array(const std::string& name) const { return dalle2::to_array(view(name)); }

    // The tensor's pages need not stay in memory.
    void forget(const std::string& name) const {
        if (const auto& tensor = find(name); !tensor.bytes.empty()) file_.forget(tensor.bytes);
    }

private:
    // Bounds what the names and shapes of a hostile file can take.
    static constexpr std::size_t most_tensors = std::size_t{1} << 16;
    static constexpr std::size_t longest_name = 1024;

    const detail::TorchTensor& find(const std::string& name) const {
        const auto found = index_.find(name);
        if (found == index_.end())
            throw FormatError(path().string() + ": no tensor \"" + name + "\" among the " +
                              std::to_string(index_.size()) + " of the file");
        return tensors_[found->second];
    }

    static void refuse_other_formats(std::string_view file, const std::string& where) {
        const auto fail = [&](const std::string& what) {
            throw FormatError(where + " is not a PyTorch checkpoint that can be read: " + what);
        };
        const auto convert = [](const char* arguments) {
            return std::string(
                       "; where PyTorch is installed it is converted by\n  python -c "
                       "\"import torch; torch.save(torch.load('OLD'") +
                   arguments + "), 'NEW')\"";
        };
        using namespace std::string_view_literals;
        // The magic number of torch.save before it wrote archives, pickled.
        if (file.starts_with("\x80\x02\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19."sv))
            fail("it is of the kind that was usual before PyTorch 1.6" +
                 convert(", map_location='cpu'"));
        if (file.size() > 262 && file.substr(257, 5) == "ustar")
            fail("it is a tar archive, of the kind that PyTorch 0.1 wrote" +
                 convert(", map_location='cpu', weights_only=False"));
        if (file.starts_with("version https://git-lfs"))
            fail("it is a pointer of Git LFS, which stands for the file until `git lfs pull`");
        if (file.size() > 9 && file[8] == '{' && !file.starts_with("PK"))
            fail("it looks like a safetensors file; give it that extension");
        if (!file.starts_with("PK\x03\x04"))
            fail("it does not begin like a zip archive, which torch.save writes");
    }

    // The one folder that all of an archive's members are in, as torch.save makes it.
    static std::string folder_of(const ZipArchive& archive, const std::string& where) {
        const auto fail = [&](const std::string& what) {
            throw FormatError(where + " is not a PyTorch checkpoint that can be read: " + what);
        };
        std::string folder;
        constexpr std::string_view pickled = "/data.pkl";
        for (const ZipArchive::Member& member : archive.members())
            if (member.name.ends_with(pickled) &&
                member.name.find('/') == member.name.size() - pickled.size()) {
                if (!folder.empty()) fail("it has two members data.pkl");
                folder = member.name.substr(0, member.name.size() - pickled.size());
            }
        if (folder.empty()) fail("the archive has no member data.pkl in a folder");
        for (const ZipArchive::Member& member : archive.members())
            if (member.name == folder + "/constants.pkl" ||
                member.name.starts_with(folder + "/code/"))
                fail("it is a TorchScript program; save the state_dict() of its module instead");
        archive.require_stored();
        const ZipArchive::Member* const order = archive.find(folder + "/byteorder");
        if (order && order->bytes != "little")
            fail("its numbers are " +
                 std::string(order->bytes == "big" ? "big-endian" : "of an unknown byte order") +
                 "; expected little-endian");
        return folder;
    }

    void read_tensors(const Pickle& pickle, const detail::TorchTensorReader& reader,
                      const std::string& where) {
        const auto items = pickle.items(state_dict(pickle, reader, where));
        for (std::size_t i = 0; i < items.size(); i += 2) {
            if (!reader.is_tensor(items[i + 1])) continue;
            if (!items[i].is(PickleValue::Kind::text))
                throw FormatError(where +
                                  ": tensors without names; expected a dict of texts and "
                                  "tensors, a state_dict");
            const std::string_view name = pickle.text(items[i]);
            if (name.size() > longest_name || repaired_utf8(name) != name)
                throw FormatError(where + ": the name of a tensor is not UTF-8, or longer than " +
                                  std::to_string(longest_name) + " bytes");
            if (tensors_.size() == most_tensors)
                throw FormatError(where + ": more than " + std::to_string(most_tensors) +
                                  " tensors");
            tensors_.push_back(reader.read(std::string(name), items[i + 1]));
        }
        std::stable_sort(tensors_.begin(), tensors_.end(), [](const auto& a, const auto& b) {
            return std::less<>()(a.bytes.data(), b.bytes.data());
        });
        for (std::size_t i = 0; i < tensors_.size(); ++i)
            if (!index_.emplace(tensors_[i].name, i).second)
                throw FormatError(where + ": two tensors \"" + tensors_[i].name + "\"");
    }

    // The dict of the tensors: the whole, or what a usual key of it holds.
    static PickleValue state_dict(const Pickle& pickle, const detail::TorchTensorReader& reader,
                                  const std::string& where) {
        using Kind = PickleValue::Kind;
        const auto has_tensors = [&](PickleValue value) {
            if (!value.is(Kind::dict)) return false;
            const auto items = pickle.items(value);
            for (std::size_t i = 1; i < items.size(); i += 2)
                if (reader.is_tensor(items[i])) return true;
            return false;
        };
        const PickleValue root = pickle.root();
        if (!root.is(Kind::dict))
            throw FormatError(where + ": it holds " + std::string(to_string(root.kind)) +
                              "; expected a dict of tensors, a state_dict");
        if (has_tensors(root)) return root;
        constexpr std::array<std::string_view, 4> usual = {"state_dict", "model_state_dict",
                                                           "model", "module"};
        const auto items = pickle.items(root);
        for (const std::string_view key : usual)
            for (std::size_t i = 0; i < items.size(); i += 2)
                if (items[i].is(Kind::text) && pickle.text(items[i]) == key &&
                    has_tensors(items[i + 1]))
                    return items[i + 1];
        std::string keys;
        for (std::size_t i = 0; i < std::min<std::size_t>(items.size(), 20); i += 2)
            if (items[i].is(Kind::text))
                keys +=
                    (keys.empty() ? "" : ", ") + repaired_utf8(pickle.text(items[i]).substr(0, 40));
        throw FormatError(where +
                          ": there are no tensors in it, nor in a dict under state_dict, "
                          "model_state_dict, model or module; its keys are: " +
                          keys);
    }

    MappedFile file_;
    std::vector<detail::TorchTensor> tensors_;
    std::unordered_map<std::string, std::size_t> index_;
};

}  // namespace dalle2
