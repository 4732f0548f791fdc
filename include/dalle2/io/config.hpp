// Reading a config.json strictly: every key that could change the result is understood or refused.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/json.hpp>

namespace dalle2 {

namespace detail {

template <class T>
struct IsList : std::false_type {};
template <class T>
struct IsList<std::vector<T>> : std::true_type {};

// Sizes of networks are small positive numbers; anything else is a mistake or an attack.
template <class T>
constexpr T smallest_value() {
    if constexpr (std::is_integral_v<T>) return T{1};
    return T(-1e9);
}
template <class T>
constexpr T largest_value() {
    if constexpr (std::is_integral_v<T>) return T{1'000'000};
    return T(1e9);
}

}  // namespace detail

// The keys of one JSON object. A value is asked for by key and type (bool, std::int64_t, double,
// std::string, or a std::vector of one of them); a value that is absent, of another type or out of
// range is a ConfigError that names file, key, value and what was expected. finish() refuses what
// nobody asked for.
class ConfigReader {
public:
    // Throws FormatError when `json` is not an object. `where` (a file) stands in messages.
    ConfigReader(Json json, std::string where) : json_(std::move(json)), where_(std::move(where)) {
        if (!json_.is_object())
            throw FormatError(where_ + " contains " + shown(json_) +
                              "; expected an object, {\"key\": value, …}");
    }

    // Reads a file. Throws IoError when it cannot be opened, FormatError when it is not JSON.
    static ConfigReader from_file(const std::filesystem::path& path) {
        return ConfigReader(read_json(path), path.string());
    }

    const std::string& where() const { return where_; }

    // Is the key there, with a value other than null?
    bool contains(const std::string& key) const {
        const auto found = json_.find(key);
        return found != json_.end() && !found->is_null();
    }

    // Numbers, and the numbers of a list, must lie between `smallest` and `largest`.
    template <class T>
    T get(const std::string& key) {
        return read<T>(key, limits<T>().first, limits<T>().second);
    }
    template <class T>
    T get(const std::string& key, double smallest, double largest) {
        return read<T>(key, smallest, largest);
    }

    // `otherwise` stands for a key that is absent or null.
    template <class T>
    T get_or(const std::string& key, T otherwise) {
        used_.insert(key);
        return contains(key) ? get<T>(key) : otherwise;
    }
    template <class T>
    T get_or(const std::string& key, T otherwise, double smallest, double largest) {
        used_.insert(key);
        return contains(key) ? get<T>(key, smallest, largest) : otherwise;
    }

    // One of several texts. Throws ConfigError for another, naming those.
    std::string get_one_of(const std::string& key, const std::vector<std::string>& allowed) {
        const std::string value = get<std::string>(key);
        if (std::find(allowed.begin(), allowed.end(), value) == allowed.end())
            refuse(key, json_[key], "supported: " + listed(Json(allowed)));
        return value;
    }

    // A value in a list of those that are supported. (Of the library's own values each text in
    // quotes would be compiled by its length.)
    struct Allowed {
        Allowed(std::nullptr_t) {}
        Allowed(bool allowed) : value(allowed) {}
        Allowed(int allowed) : value(allowed) {}
        Allowed(std::int64_t allowed) : value(allowed) {}
        Allowed(const char* allowed) : value(std::string(allowed)) {}
        Json value;
    };

    // A key whose other values are not supported; it may be absent.
    void expect(const std::string& key, std::initializer_list<Allowed> allowed) {
        used_.insert(key);
        const auto found = json_.find(key);
        if (found == json_.end()) return;
        Json values = Json::array();
        for (const Allowed& one : allowed) {
            if (*found == one.value) return;
            values.push_back(one.value);
        }
        refuse(key, *found, "supported: " + listed(values));
    }

    // Keys that do not change the result.
    void ignore(std::initializer_list<const char*> keys) {
        for (const char* key : keys) used_.insert(key);
    }

    // The object under a key, such as text_config; finish it too.
    ConfigReader child(const std::string& key) {
        const Json& value = find(key);
        if (!value.is_object()) refuse(key, value, "expected an object");
        return ConfigReader(value, where_ + ", " + key);
    }

    // Throws ConfigError when a key was neither asked for nor ignored, unless its value is null or
    // false (a feature that is off) or its name begins with an underscore (a remark).
    void finish() const {
        for (const auto& [key, value] : json_.items())
            if (!used_.contains(key) && !value.is_null() && value != false && !key.starts_with('_'))
                throw ConfigError(where_ + ": unknown key \"" + key + "\" with the value " +
                                  shown(value) +
                                  "; it may change the result, and is not supported");
    }

    // For checks of one's own: throws the ConfigError for the value under `key`.
    [[noreturn]] void refuse(const std::string& key, const std::string& expected) const {
        const auto found = json_.find(key);
        refuse(key, found == json_.end() ? Json() : *found, expected);
    }

private:
    template <class T>
    static constexpr std::pair<double, double> limits() {
        if constexpr (detail::IsList<T>::value) {
            return limits<typename T::value_type>();
        } else if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
            return {static_cast<double>(detail::smallest_value<T>()),
                    static_cast<double>(detail::largest_value<T>())};
        } else {
            return {0, 0};
        }
    }

    const Json& find(const std::string& key) {
        used_.insert(key);
        const auto found = json_.find(key);
        if (found == json_.end())
            throw ConfigError(where_ + ": the key \"" + key + "\" is missing");
        return *found;
    }

    template <class T>
    T read(const std::string& key, double smallest, double largest) {
        const Json& value = find(key);
        if constexpr (detail::IsList<T>::value) {
            if (!value.is_array() || value.size() > 10'000) refuse(key, value, "expected a list");
            T list;
            for (const Json& element : value)
                list.push_back(
                    convert<typename T::value_type>(key, value, element, smallest, largest));
            return list;
        } else {
            return convert<T>(key, value, value, smallest, largest);
        }
    }

    // `value`, or one of its elements, as T.
    template <class T>
    T convert(const std::string& key, const Json& value, const Json& element, double smallest,
              double largest) {
        const std::string lists = &value == &element ? "" : "a list of elements, each ";
        const auto number = [](double x) {
            return Json(x == std::floor(x) && std::abs(x) < 1e15
                            ? Json(static_cast<std::int64_t>(x))
                            : Json(x))
                .dump();
        };
        const auto range = [&] { return " from " + number(smallest) + " to " + number(largest); };
        if constexpr (std::is_same_v<T, bool>) {
            if (!element.is_boolean()) refuse(key, value, "expected " + lists + "true or false");
            return element.get<bool>();
        } else if constexpr (std::is_same_v<T, std::string>) {
            if (!element.is_string()) refuse(key, value, "expected " + lists + "a text");
            return element.get<std::string>();
        } else if constexpr (std::is_integral_v<T>) {
            const auto fits = [&] {
                if (!element.is_number_integer()) return false;
                const double approximate = element.get<double>();
                return approximate >= smallest && approximate <= largest &&
                       std::abs(approximate) < 9.007e15;  // exact in double
            };
            if (!fits()) refuse(key, value, "expected " + lists + "a whole number" + range());
            return static_cast<T>(element.get<std::int64_t>());
        } else {
            static_assert(std::is_floating_point_v<T>,
                          "bool, integers, floats, texts and lists of them");
            const double found = element.is_number() ? element.get<double>() : std::nan("");
            if (!(found >= smallest && found <= largest))
                refuse(key, value, "expected " + lists + "a number" + range());
            return static_cast<T>(found);
        }
    }

    [[noreturn]] void refuse(const std::string& key, const Json& value,
                             const std::string& expected) const {
        throw ConfigError(where_ + ": \"" + key + "\" is " + shown(value) + "; " + expected);
    }

    static std::string shown(const Json& value) {
        const std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
        return text.size() <= 80 ? text : text.substr(0, 77) + "...";
    }
    static std::string listed(const Json& values) {
        std::string text;
        for (const Json& value : values) text += (text.empty() ? "" : ", ") + shown(value);
        return text;
    }

    Json json_;
    std::string where_;
    std::set<std::string> used_;
};

}  // namespace dalle2
