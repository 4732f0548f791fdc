// What a pickle holds: numbers, texts and containers of them, as they lie in the file.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dalle2 {

// A value, or the number of the node that holds it. Sixteen bytes: texts stay in the file.
struct PickleValue {
    enum class Kind : std::uint8_t {
        none,
        boolean,
        integer,
        real,
        text,
        global,  // a class or function, by its name; none is ever called
        list,    // from here on the value is a node's
        tuple,
        dict,        // or OrderedDict: key, value, key, value, …
        call,        // what a function would be called with: the global, the tuple of arguments
        persistent,  // what stands for something outside of the pickle: its description
    };
    Kind kind = Kind::none;
    std::uint32_t size = 0;  // of a text
    std::uint64_t bits = 0;  // the number, the place of a text, the index of a global or node

    bool is(Kind wanted) const { return kind == wanted; }
    bool is_node() const { return kind >= Kind::list; }
    std::int64_t integer() const { return static_cast<std::int64_t>(bits); }
    double real() const { return std::bit_cast<double>(bits); }
    std::size_t index() const { return static_cast<std::size_t>(bits); }
};

// What a container holds. It is filled before it is put into another one and does not change from
// then on, so that none can contain itself.
struct PickleNode {
    std::vector<PickleValue> items;
    std::uint8_t height = 1;  // of the containers in it and itself
    bool closed = false;
};

inline constexpr std::string_view to_string(PickleValue::Kind kind) {
    using Kind = PickleValue::Kind;
    switch (kind) {
        case Kind::none: return "None";
        case Kind::boolean: return "a truth value";
        case Kind::integer: return "a whole number";
        case Kind::real: return "a number";
        case Kind::text: return "a text";
        case Kind::global: return "a class or function";
        case Kind::list: return "a list";
        case Kind::tuple: return "a tuple";
        case Kind::dict: return "a dict";
        case Kind::call: return "an object";
        case Kind::persistent: return "a storage";
    }
    return "a value";
}

namespace detail {

// The opcodes of protocols 0 to 5 that Pickle refuses, with the names of Python's pickletools.
struct PickleOpcodeName {
    unsigned char code;
    std::string_view name;
};
inline constexpr PickleOpcodeName refused_pickle_opcodes[] = {
    {'2', "DUP"},         {'F', "FLOAT"},        {'I', "INT"},
    {'L', "LONG"},        {'P', "PERSID"},       {'S', "STRING"},
    {'V', "UNICODE"},     {'d', "DICT"},         {'g', "GET"},
    {'i', "INST"},        {'l', "LIST"},         {'o', "OBJ"},
    {'p', "PUT"},         {'B', "BINBYTES"},     {'C', "SHORT_BINBYTES"},
    {0x81, "NEWOBJ"},     {0x82, "EXT1"},        {0x83, "EXT2"},
    {0x84, "EXT4"},       {0x8E, "BINBYTES8"},   {0x8F, "EMPTY_SET"},
    {0x90, "ADDITEMS"},   {0x91, "FROZENSET"},   {0x92, "NEWOBJ_EX"},
    {0x96, "BYTEARRAY8"}, {0x97, "NEXT_BUFFER"}, {0x98, "READONLY_BUFFER"},
};

inline std::string pickle_opcode_name(unsigned char code) {
    for (const PickleOpcodeName& known : refused_pickle_opcodes)
        if (known.code == code) return std::string(known.name);
    return std::to_string(code) + ", which is none,";
}

}  // namespace detail

}  // namespace dalle2
