// The files that hold a network's weights: which ones of a folder they are, and all of them as one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include <dalle2/core/array.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/io/int8_tensor.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/io/packed_file.hpp>
#include <dalle2/io/safetensors.hpp>
#include <dalle2/io/torch_checkpoint.hpp>

namespace dalle2 {

// Where a network's weights lie.
struct WeightLocation {
    std::filesystem::path path;  // the file; of several the index that says what is where
    std::string variant;         // such as "fp16"; empty for the plain files
    bool sharded = false;
};

namespace detail {

// The names under which transformers and diffusers save, PyTorch's own format last.
struct WeightNames {
    std::string_view stem, extension;
};
inline std::vector<WeightNames> weight_names(std::string_view safetensors_file) {
    const std::string_view stem = safetensors_file.substr(0, safetensors_file.rfind('.'));
    return {{stem, ".safetensors"}, {stem == "model" ? "pytorch_model" : stem, ".bin"}};
}

// model.safetensors and model.safetensors.index.json; as a variant model.fp16.safetensors and
// model.safetensors.index.fp16.json.
inline std::string weight_file_name(const WeightNames& names, const std::string& variant) {
    const std::string part = variant.empty() ? "" : "." + variant;
    return std::string(names.stem) + part + std::string(names.extension);
}
inline std::string weight_index_name(const WeightNames& names, const std::string& variant) {
    const std::string part = variant.empty() ? "" : "." + variant;
    return std::string(names.stem) + std::string(names.extension) + ".index" + part + ".json";
}

// The variants that a folder has files of, in the order of their names.
inline std::set<std::string> weight_variants(const std::filesystem::path& folder,
                                             const std::vector<WeightNames>& all_names) {
    std::set<std::string> variants;
    std::error_code error;
    for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error)) {
        const std::string name = entry->path().filename().string();
        for (const WeightNames& names : all_names) {
            const auto between = [&](const std::string& before, std::string_view after) {
                if (name.size() > before.size() + after.size() && name.starts_with(before) &&
                    name.ends_with(after)) {
                    const std::string variant =
                        name.substr(before.size(), name.size() - before.size() - after.size());
                    // Not a shard of several, model.fp16-00001-of-00002.safetensors.
                    if (variant.find_first_of(".-") == std::string::npos) variants.insert(variant);
                }
            };
            const std::string stem(names.stem), extension(names.extension);
            between(stem + ".", extension);
            between(stem + extension + ".index.", ".json");
        }
    }
    return variants;
}

}  // namespace detail

// The weights in a folder, which would be called `safetensors_file` as one plain file. In this
// order: that file; several files with an index; PyTorch's, one or several. `variant` asks for
// files such as model.fp16.safetensors; without it, plain files are looked for first, and if there
// are none, those of the only variant there is. Throws IoError when there are none.
inline WeightLocation find_weights(const std::filesystem::path& folder,
                                   std::string_view safetensors_file,
                                   const std::string& variant = "") {
    const std::vector<detail::WeightNames> all_names = detail::weight_names(safetensors_file);
    const auto exists = [&](const std::string& name) {
        std::error_code ignored;
        return std::filesystem::exists(folder / name, ignored);
    };
    const auto find = [&](const std::string& wanted, WeightLocation& found) {
        for (const detail::WeightNames& names : all_names)
            for (const bool sharded : {false, true}) {
                const std::string name = sharded ? detail::weight_index_name(names, wanted)
                                                 : detail::weight_file_name(names, wanted);
                if (!exists(name)) continue;
                found = {folder / name, wanted, sharded};
                return true;
            }
        return false;
    };
    WeightLocation found;
    if (find(variant, found)) return found;
    const std::set<std::string> variants = detail::weight_variants(folder, all_names);
    if (variant.empty() && variants.size() == 1 && find(*variants.begin(), found)) return found;
    std::string others;
    for (const std::string& name : variants) others += (others.empty() ? "" : ", ") + name;
    const std::string missing =
        (folder / detail::weight_file_name(all_names.front(), variant)).string();
    throw IoError(
        "no weights at " + missing + ", nor in several files or as PyTorch's .bin" +
        (others.empty() ? "" : "; there are the variants " + others + ": ask for one of them"));
}

// The tensors of a network, mapped, whether they lie in one file or in several.
class WeightFiles {
    using File = std::variant<SafetensorsFile, PackedFile, TorchCheckpoint>;

    template <class Function>
    decltype(auto) visit(std::size_t file, Function&& function) const {
        return std::visit(std::forward<Function>(function), files_[file]);
    }

public:
    // One file, safetensors or (by its extension: .bin, .pt, .pth, .ckpt) PyTorch's; or the index
    // of several, model.safetensors.index.json. Throws IoError when a file
    // cannot be opened, FormatError when one is damaged or is not what the index says.
    explicit WeightFiles(const std::filesystem::path& path) : path_(path) {
        if (path.extension() == ".json")
            open_shards();
        else
            open(path);
        const auto file_name = [&](std::size_t file) {
            return visit(file, [](const auto& f) { return f.path().filename().string(); });
        };
        for (std::size_t file = 0; file < files_.size(); ++file)
            for (const std::string& name : visit(file, [](const auto& f) { return f.names(); })) {
                if (!index_.emplace(name, file).second)
                    throw FormatError(path_.string() + ": the tensor " + name + " is in " +
                                      file_name(index_[name]) + " and in " + file_name(file));
                names_.push_back(name);
            }
        find_int8();
    }

    // What was opened: the file or the index.
    const std::filesystem::path& path() const { return path_; }
    // File by file, in the order of their bytes; without the scales of weights of int8.
    const std::vector<std::string>& names() const { return names_; }
    bool contains(const std::string& name) const { return index_.contains(name); }

    // These throw FormatError when there is no such tensor.
    const Shape& shape(const std::string& name) const {
        return visit(file_of(name), [&](const auto& f) -> const Shape& { return f.shape(name); });
    }
    DType dtype(const std::string& name) const {
        return visit(file_of(name), [&](const auto& f) { return f.dtype(name); });
    }
    // A copy of the tensor as floats; of a weight of int8, times its scales.
    Array to_array(const std::string& name) const {
        Array values = stored(name);
        if (is_int8(name) && values.size() > 0) {
            const Array all = scales(name);
            const auto out = static_cast<std::int64_t>(all.size());
            multiply_by_scales(all.data(), out, static_cast<std::int64_t>(values.size()) / out,
                               values.data());
        }
        return values;
    }
    // Of a weight of int8, one for each output, positive numbers. Throws FormatError for others.
    Array scales(const std::string& name) const {
        const std::string scale = int8_scale_name(name);
        Array values = stored(scale);
        check_scales(values, path_of(scale).string() + ": the tensor " + scale);
        return values;
    }
    // The tensor's bytes, in the order of its shape.
    TensorView view(const std::string& name) const {
        return visit(file_of(name), [&](const auto& f) { return f.view(name); });
    }
    // Whether it is a weight in the order of the CPU engines: see packed_file.hpp.
    bool is_packed(const std::string& name) const {
        const PackedFile* const file = packed_file_of(name);
        return file && file->is_packed(name);
    }
    // A weight in the order of the CPU engines, where it lies; nothing if the file has it in its
    // own. Who takes it calls check, which throws FormatError when it is damaged.
    std::optional<kernels::AnyPackedWeights> packed(const std::string& name) const {
        const PackedFile* const file = packed_file_of(name);
        return file ? file->packed(name) : std::nullopt;
    }
    void check(const std::string& name) const {
        if (const PackedFile* const file = packed_file_of(name)) file->check(name);
    }
    // How many values of the tensor the file itself says are infinite or not a number.
    std::int64_t not_finite(const std::string& name) const {
        const PackedFile* const file = packed_file_of(name);
        return file ? file->not_finite(name) : 0;
    }
    // The file that holds it.
    std::filesystem::path path_of(const std::string& name) const {
        return visit(file_of(name), [](const auto& f) { return f.path(); });
    }

    // Whether it is a weight of int8 that has scales: see int8_tensor.hpp.
    bool is_int8(const std::string& name) const { return int8_.contains(name); }
    // Whether the files were made for int8, so that weights of other types are not to be rounded.
    bool made_for_int8() const { return made_for_int8_; }

    // The tensor's pages need not stay in memory: they are read again if they are wanted again.
    void forget(const std::string& name) const {
        visit(file_of(name), [&](const auto& f) { f.forget(name); });
    }

private:
    std::size_t file_of(const std::string& name) const {
        const auto found = index_.find(name);
        if (found == index_.end())
            throw FormatError(path_.string() + ": no tensor \"" + name + "\" among the " +
                              std::to_string(index_.size()));
        return found->second;
    }

    const PackedFile* packed_file_of(const std::string& name) const {
        return std::get_if<PackedFile>(&files_[file_of(name)]);
    }

    Array stored(const std::string& name) const {
        return visit(file_of(name), [&](const auto& f) { return f.to_array(name); });
    }

    // Throws FormatError for scales that do not fit their weight.
    void find_int8() {
        for (std::size_t file = 0; file < files_.size(); ++file)
            visit(file, [&](const auto& f) {
                if constexpr (requires { f.metadata(); })
                    made_for_int8_ = made_for_int8_ || f.metadata().contains(int8_metadata_key);
            });
        for (const std::string& name : names_) {
            const std::string scale = int8_scale_name(name);
            if (dtype(name) != DType::i8 || !contains(scale)) continue;
            const Shape weight = shape(name), expected = {weight.empty() ? 1 : weight[0]};
            const DType type = dtype(scale);
            const bool floats = type == DType::f32 || type == DType::bf16 || type == DType::f16;
            if (weight.empty() || shape(scale) != expected || !floats)
                throw FormatError(path_.string() + ": the tensor " + scale + " is " +
                                  std::string(to_string(type)) + " " + to_string(shape(scale)) +
                                  ", expected F32, BF16 or F16 " + to_string(expected) +
                                  ", a scale for each output of " + name + " " + to_string(weight));
            int8_.insert(name);
        }
        made_for_int8_ = made_for_int8_ || !int8_.empty();
        std::erase_if(names_, [&](const std::string& name) {
            constexpr std::string_view ending = "_scale";
            return name.ends_with(ending) &&
                   int8_.contains(name.substr(0, name.size() - ending.size()));
        });
    }

    void open(const std::filesystem::path& path) {
        const std::string extension = path.extension().string();
        if (extension == ".bin" || extension == ".pt" || extension == ".pth" ||
            extension == ".ckpt")
            files_.emplace_back(TorchCheckpoint(path));
        else if (SafetensorsFile file(path); PackedFile::is_one(file))
            files_.emplace_back(PackedFile(std::move(file)));
        else
            files_.emplace_back(std::move(file));
    }

    // {"metadata": {…}, "weight_map": {tensor: file}}, the files beside the index.
    void open_shards() {
        const Json index = read_json(path_);
        const Json& map = value_at(index, "weight_map");
        if (!map.is_object() || map.empty())
            throw FormatError(path_.string() +
                              ": expected an object with \"weight_map\", {tensor: file, …}");
        std::set<std::string> files;
        for (const auto& [name, file] : map.items()) {
            const std::string shard = file.is_string() ? file.get<std::string>() : "";
            // Nothing may lead out of the model's folder.
            if (shard.empty() || shard == "." || shard == ".." ||
                shard.find_first_of("/\\") != std::string::npos ||
                shard.find('\0') != std::string::npos)
                throw FormatError(path_.string() + ": the tensor " + name + " is said to be in " +
                                  file.dump().substr(0, 80) +
                                  "; expected the name of a file beside the index");
            files.insert(shard);
        }
        std::unordered_map<std::string, std::size_t> opened;
        for (const std::string& file : files) {
            opened.emplace(file, files_.size());
            open(path_.parent_path() / file);
        }
        for (const auto& [name, file] : map.items()) {
            const auto shard = file.get<std::string>();
            const std::string& tensor = name;  // clang 16 captures no structured binding
            if (!visit(opened.at(shard), [&](const auto& f) { return f.contains(tensor); }))
                throw FormatError(path_.string() + ": the tensor " + name + " is not in " + shard +
                                  ", where it is said to be");
        }
    }

    std::filesystem::path path_;
    std::vector<File> files_;
    std::vector<std::string> names_;
    std::unordered_map<std::string, std::size_t> index_;
    std::set<std::string> int8_;
    bool made_for_int8_ = false;
};

}  // namespace dalle2
