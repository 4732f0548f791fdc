// The header of a safetensors file: types, parsing with every rule of the format checked, making.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <dalle2/core/array.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/io/json_builder.hpp>
#include <dalle2/io/tensor_view.hpp>

namespace dalle2 {

namespace detail {

struct SafetensorsHeader {
    struct Tensor {
        std::string name;
        DType dtype = DType::f32;
        Shape shape;
        std::uint64_t begin = 0;  // counted from the end of the header
        std::uint64_t end = 0;
    };
    std::vector<Tensor> tensors;         // in the order of their bytes
    std::vector<std::uint32_t> by_name;  // the same in the order of their names
    std::map<std::string, std::string> metadata;
    std::size_t data_begin = 0;

    // Null when there is no such tensor.
    const Tensor* find(std::string_view name) const {
        const auto found = std::lower_bound(
            by_name.begin(), by_name.end(), name,
            [&](std::uint32_t i, std::string_view wanted) { return tensors[i].name < wanted; });
        return found != by_name.end() && tensors[*found].name == name ? &tensors[*found] : nullptr;
    }
};

// No checkpoint comes near these; without them a header could demand many times its own size.
inline constexpr std::size_t most_tensors = std::size_t{1} << 17;
inline constexpr std::size_t most_metadata = std::size_t{1} << 16;
inline constexpr std::size_t most_extents = 16;
inline constexpr std::size_t longest_tensor_name = 1024;

// Receives the header's JSON piece by piece, so that no hostile header can make a large document:
// {"name": {"dtype": text, "shape": [n, …], "data_offsets": [begin, end]}, "__metadata__": {text:
// text}}.
class SafetensorsHeaderParser final : public nlohmann::json::json_sax_t {
public:
    using Json = nlohmann::json;

    SafetensorsHeaderParser(SafetensorsHeader& header, const std::string& where)
        : header_(header), where_(where) {}

    bool start_object(std::size_t) override {
        if (depth_ == 0) return enter();
        if (depth_ != 1) unexpected("an object");
        if (!in_metadata_) header_.tensors.push_back({name_, {}, {}, 0, 0});
        seen_ = {};
        return enter();
    }
    bool key(std::string& key) override {
        if (depth_ == 1) {
            if (key.size() > longest_tensor_name)
                fail("a name of " + std::to_string(key.size()) + " bytes; expected at most " +
                     std::to_string(longest_tensor_name));
            name_ = key;
            in_metadata_ = key == "__metadata__";
            if (in_metadata_ && std::exchange(seen_metadata_, true))
                fail("duplicate key \"__metadata__\"");
            if (header_.tensors.size() >= most_tensors)
                fail("more than " + std::to_string(most_tensors) + " tensors");
        } else if (in_metadata_) {
            if (header_.metadata.contains(key))
                fail("duplicate key \"" + shortened(key) + "\" in __metadata__");
            if (header_.metadata.size() >= most_metadata)
                fail("more than " + std::to_string(most_metadata) + " keys in __metadata__");
            field_ = key;
        } else {
            const auto known = std::find(fields.begin(), fields.end(), key);
            if (known == fields.end())
                fail("tensor \"" + name_ + "\": unknown key \"" + shortened(key) + "\"");
            bool& seen = seen_[static_cast<std::size_t>(known - fields.begin())];
            if (seen) fail("tensor \"" + name_ + "\": duplicate key \"" + key + "\"");
            seen = true;
            field_ = key;
        }
        return true;
    }
    bool end_object() override {
        if (--depth_ == 1 && !in_metadata_)
            for (std::size_t i = 0; i < fields.size(); ++i)
                if (!seen_[i]) fail("tensor \"" + name_ + "\" has no " + std::string(fields[i]));
        return true;
    }
    bool start_array(std::size_t) override {
        if (depth_ != 2 || in_metadata_ || field_ == "dtype") unexpected("a list");
        offsets_ = 0;
        return enter();
    }
    bool end_array() override {
        --depth_;
        if (field_ == "data_offsets" && offsets_ != 2)
            fail("tensor \"" + name_ + "\": data_offsets has " + std::to_string(offsets_) +
                 " numbers, expected 2");
        return true;
    }
    bool string(std::string& text) override {
        if (depth_ != 2) unexpected("a text");
        if (in_metadata_) {
            header_.metadata.emplace(field_, text);
            return true;
        }
        if (field_ != "dtype") unexpected("a text");
        for (const auto& facts : dtype_facts)
            if (facts.name == text) {
                header_.tensors.back().dtype = facts.dtype;
                return true;
            }
        for (const std::string_view name : unsupported_dtypes)
            if (name == text)
                fail("tensor \"" + name_ + "\": the dtype " + text +
                     " is not supported; expected F64, F32, F16, BF16, F8_E4M3, F8_E5M2, BOOL or "
                     "integers");
        fail("tensor \"" + name_ + "\": unknown dtype \"" + shortened(text) + "\"");
    }
    bool number_unsigned(std::uint64_t number) override {
        if (depth_ != 3) unexpected("a number");
        auto& tensor = header_.tensors.back();
        if (field_ == "shape") {
            if (number > std::uint64_t{1} << 62)
                fail("tensor \"" + name_ + "\": an extent of " + std::to_string(number));
            if (tensor.shape.size() == most_extents)
                fail("tensor \"" + name_ + "\": more than " + std::to_string(most_extents) +
                     " extents");
            tensor.shape.push_back(static_cast<std::int64_t>(number));
        } else {
            (offsets_ == 0 ? tensor.begin : tensor.end) = number;
            if (++offsets_ > 2)
                fail("tensor \"" + name_ + "\": data_offsets has more than 2 numbers");
        }
        return true;
    }
    bool null() override { unexpected("null"); }
    bool boolean(bool) override { unexpected("a truth value"); }
    bool number_integer(std::int64_t) override { unexpected("a negative number"); }
    bool number_float(double, const std::string&) override { unexpected("a fraction"); }
    bool binary(Json::binary_t&) override { unexpected("binary data"); }
    bool parse_error(std::size_t position, const std::string&,
                     const nlohmann::detail::exception&) override {
        fail("the header is not JSON (at its byte " + std::to_string(position) + ")");
    }

private:
    static constexpr std::array<std::string_view, 3> fields = {"dtype", "shape", "data_offsets"};
    // What newer versions of the format have besides: complex numbers, scales alone, and floats of
    // which several share a byte.
    static constexpr std::array<std::string_view, 7> unsupported_dtypes = {
        "C64", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F6_E2M3", "F6_E3M2", "F4"};

    bool enter() {
        ++depth_;
        return true;
    }
    static std::string shortened(const std::string& text) { return text.substr(0, 80); }
    [[noreturn]] void fail(const std::string& what) const {
        throw FormatError(where_ + " is not a valid safetensors file: " + what);
    }
    [[noreturn]] void unexpected(const std::string& what) const {
        fail("unexpected " + what + " in the header" +
             (name_.empty() ? "" : " at \"" + name_ + "\""));
    }

    SafetensorsHeader& header_;
    const std::string& where_;
    std::string name_;   // of the tensor, or __metadata__
    std::string field_;  // the key below it
    bool in_metadata_ = false;
    bool seen_metadata_ = false;
    std::array<bool, 3> seen_{};
    int offsets_ = 0;
    int depth_ = 0;
};

// Reads and checks the header of a whole file: its length, its JSON, that each tensor's bytes are
// as many as its dtype and shape say, and that together they cover the rest of the file without
// overlap or holes. Throws FormatError.
inline SafetensorsHeader read_safetensors_header(std::string_view file, const std::string& where) {
    const auto fail = [&](const std::string& what) {
        throw FormatError(where + " is not a valid safetensors file: " + what);
    };
    constexpr std::uint64_t longest_header = 100'000'000;              // the format's own limit
    constexpr std::size_t longest_header_text = std::size_t{1} << 24;  // metadata may be long
    std::uint64_t length = 0;
    if (file.size() < sizeof length + 2)
        fail("it has " + std::to_string(file.size()) + " bytes, too few for a header");
    std::memcpy(&length, file.data(), sizeof length);
    if (file.starts_with("version https://git-lfs"))
        fail("it is a pointer of Git LFS, which stands for the file until `git lfs pull`");
    if (length > longest_header || length > file.size() - sizeof length)
        fail("its header would have " + std::to_string(length) + " bytes; the file has " +
             std::to_string(file.size()) + (length > longest_header ? "" : " (cut off?)"));
    SafetensorsHeader header;
    header.data_begin = sizeof length + static_cast<std::size_t>(length);
    const std::string_view text = file.substr(sizeof length, static_cast<std::size_t>(length));
    if (!text.starts_with('{')) fail("its header does not begin with {");
    if (text.find('\0') != std::string_view::npos) fail("its header contains a zero byte");
    if (longest_json_token(text) > longest_header_text)
        fail("its header contains a text of more than " + std::to_string(longest_header_text) +
             " bytes");
    SafetensorsHeaderParser parser(header, where);
    parse_json_events(text, parser);

    std::sort(header.tensors.begin(), header.tensors.end(), [](const auto& a, const auto& b) {
        return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    header.by_name.resize(header.tensors.size());
    std::iota(header.by_name.begin(), header.by_name.end(), 0u);
    const auto name_of = [&](std::uint32_t i) -> const std::string& {
        return header.tensors[i].name;
    };
    std::sort(header.by_name.begin(), header.by_name.end(),
              [&](std::uint32_t a, std::uint32_t b) { return name_of(a) < name_of(b); });
    const auto twice = std::adjacent_find(
        header.by_name.begin(), header.by_name.end(),
        [&](std::uint32_t a, std::uint32_t b) { return name_of(a) == name_of(b); });
    if (twice != header.by_name.end()) fail("duplicate tensor \"" + name_of(*twice) + "\"");
    std::uint64_t expected_begin = 0;
    for (const auto& tensor : header.tensors) {
        const std::string name = "tensor \"" + tensor.name + "\"";
        const std::string place =
            " bytes " + std::to_string(tensor.begin) + " to " + std::to_string(tensor.end);
        if (tensor.end < tensor.begin) fail(name + " has" + place);
        const std::uint64_t size =
            checked_byte_count(tensor.shape, tensor.dtype, where + ", " + name);
        if (tensor.end - tensor.begin != size)
            fail(name + " has" + place + ", expected " + std::to_string(size) + " for " +
                 std::string(to_string(tensor.dtype)) + " " + to_string(tensor.shape));
        if (tensor.begin != expected_begin)
            fail(name + " has" + place +
                 (tensor.begin < expected_begin ? ", an overlap" : ", a hole") +
                 "; expected to begin at " + std::to_string(expected_begin));
        expected_begin = tensor.end;
    }
    const std::uint64_t available = file.size() - header.data_begin;
    if (expected_begin != available)
        fail("its tensors need " + std::to_string(expected_begin) +
             " bytes after the header, there are " + std::to_string(available) +
             (available < expected_begin ? " (cut off?)" : ""));
    return header;
}

// The header for `tensors` (anything with name, shape and dtype), padded to a multiple of 8 bytes.
template <class Tensor, class ByteCount>
std::string make_safetensors_header(const std::vector<Tensor>& tensors, ByteCount&& byte_count,
                                    const std::map<std::string, std::string>& metadata,
                                    const std::string& where) {
    // ordered_json looks keys up one by one; thousands of tensors are better written directly.
    const auto quoted = [&](const std::string& text) {
        try {
            return nlohmann::json(text).dump();
        } catch (const nlohmann::json::exception&) {
            throw FormatError("cannot write " + where + ": a name or metadata is not UTF-8");
        }
    };
    std::string header = "{";
    std::unordered_set<std::string> names;
    if (!metadata.empty()) {
        header += "\"__metadata__\":{";
        for (const auto& [key, value] : metadata)
            header += (header.back() == '{' ? "" : ",") + quoted(key) + ":" + quoted(value);
        header += "}";
    }
    std::uint64_t offset = 0;
    for (const Tensor& tensor : tensors) {
        if (tensor.name == "__metadata__" || !names.insert(tensor.name).second)
            throw FormatError("cannot write " + where + ": two tensors named \"" + tensor.name +
                              "\"");
        header += (header.size() == 1 ? "" : ",") + quoted(tensor.name) + ":{\"dtype\":\"" +
                  std::string(to_string(tensor.dtype)) + "\",\"shape\":[";
        for (std::size_t i = 0; i < tensor.shape.size(); ++i)
            header += (i ? "," : "") + std::to_string(tensor.shape[i]);
        const std::uint64_t end = offset + byte_count(tensor);
        header +=
            "],\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(end) + "]}";
        offset = end;
    }
    header += "}";
    header.append((8 - header.size() % 8) % 8, ' ');
    return header;
}

}  // namespace detail

}  // namespace dalle2
