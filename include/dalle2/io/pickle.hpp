// Python's pickles, of which only plain data is read. A pickle is a program for a small stack
// machine, and in Python it may call anything; here it may build containers, and a call is kept as
// a record of what would be called. https://peps.python.org/pep-0307, pep-3154, pep-0574.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/pickle_value.hpp>
#include <dalle2/io/utf8.hpp>

namespace dalle2 {

class Pickle {
public:
    using Value = PickleValue;
    using Kind = PickleValue::Kind;

    // Reads a whole pickle of protocol 2 to 5. `bytes` and `globals` must outlive this object:
    // `globals` are the classes and functions that may be named, as "module.name"; `where` stands
    // in messages. Throws FormatError, which names the opcode or the global and its place, for
    // everything else, for what is cut off, and for more than the limits: half a million values,
    // containers 64 deep.
    Pickle(std::string_view bytes, std::span<const std::string_view> globals, std::string where)
        : bytes_(bytes), globals_(globals), where_(std::move(where)) {
        if (byte() != 0x80) fail("does not begin like a pickle of protocol 2 or newer");
        if (const unsigned protocol = byte(); protocol < 2 || protocol > 5)
            fail("is of protocol " + std::to_string(protocol) + "; expected 2 to 5");
        while (step()) continue;
        if (position_ != bytes_.size()) fail("goes on after its end");
        root_ = pop();
        if (!stack_.empty() || !marks_.empty()) fail("leaves values behind");
        stack_ = {};
        memo_ = {};
    }

    Value root() const { return root_; }
    // Of a container: for a dict keys and values in turn, for a call the global and its arguments,
    // for a persistent value what describes it.
    std::span<const Value> items(Value node) const { return nodes_[node.index()].items; }
    std::string_view text(Value value) const { return bytes_.substr(value.index(), value.size); }
    std::string_view global(Value value) const { return globals_[value.index()]; }

private:
    static constexpr std::size_t most_values = std::size_t{1} << 19;
    static constexpr int deepest = 64;
    static constexpr std::string_view ordered_dict = "collections.OrderedDict";

    [[noreturn]] void fail(const std::string& what) const {
        throw FormatError(where_ + ": the pickle " + what);
    }
    std::string here() const { return " at byte " + std::to_string(opcode_position_); }

    unsigned char byte() {
        if (position_ == bytes_.size()) fail("ends in the middle");
        return static_cast<unsigned char>(bytes_[position_++]);
    }
    std::uint64_t number(std::size_t size) {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < size; ++i) value |= std::uint64_t{byte()} << (8 * i);
        return value;
    }
    std::string_view take(std::uint64_t size) {
        if (size > bytes_.size() - position_) fail("ends in the middle");
        const std::string_view taken = bytes_.substr(position_, size);
        position_ += size;
        return taken;
    }

    // Memory is bounded by this count: each value, node, mark and place in the memo is one of them.
    void count_one() {
        if (++count_ > most_values)
            fail("has more than " + std::to_string(most_values) + " values");
    }
    void push(Value value) {
        count_one();
        stack_.push_back(value);
    }
    void push(Kind kind, std::uint64_t bits = 0) { push(Value{kind, 0, bits}); }
    void push_text(std::uint64_t size) {
        if (size > UINT32_MAX) fail("ends in the middle");
        const std::uint64_t begin = position_;
        (void)take(size);
        push(Value{Kind::text, static_cast<std::uint32_t>(size), begin});
    }
    void push_integer(std::uint64_t size) {
        if (size > 8) fail("has a number of " + std::to_string(size) + " bytes" + here());
        std::uint64_t value = number(size);
        if (size > 0 && size < 8 && value >> (8 * size - 1)) value |= ~std::uint64_t{0} << 8 * size;
        push(Kind::integer, value);
    }
    Value pop() {
        if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail("takes too much" + here());
        const Value value = stack_.back();
        stack_.pop_back();
        return value;
    }
    const Value& top() const {
        if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail("takes too much" + here());
        return stack_.back();
    }
    // The place of the first value above the last mark.
    std::size_t pop_mark() {
        if (marks_.empty()) fail("takes too much" + here());
        const std::size_t mark = marks_.back();
        marks_.pop_back();
        return mark;
    }

    void push_node(Kind kind) {
        push(kind, nodes_.size());
        nodes_.emplace_back();
    }
    // Puts `value` into the node number `index`.
    void add(std::size_t index, Value value) {
        PickleNode& node = nodes_[index];
        if (value.is_node()) {
            PickleNode& child = nodes_[value.index()];
            child.closed = true;
            if (node.height <= child.height)
                node.height = static_cast<std::uint8_t>(child.height + 1);
            if (node.height > deepest)
                fail("has containers more than " + std::to_string(deepest) + " deep" + here());
        }
        if (node.closed)
            fail(
                "has a container that contains itself, or is filled after it was put into "
                "another," +
                here());
        node.items.push_back(value);
    }
    // Makes a node of what lies on the stack from `begin` on.
    void gather(Kind kind, std::size_t begin) {
        const std::size_t index = nodes_.size();
        nodes_.emplace_back().items.reserve(stack_.size() - begin);
        for (std::size_t i = begin; i < stack_.size(); ++i) add(index, stack_[i]);
        stack_.resize(begin);
        push(kind, index);
    }
    void gather_last(Kind kind, std::size_t count) {
        if (stack_.size() < count + (marks_.empty() ? 0 : marks_.back()))
            fail("takes too much" + here());
        gather(kind, stack_.size() - count);
    }
    // Moves what lies on the stack from `begin` on into the container below.
    void append(Kind kind, std::size_t begin) {
        if (begin == 0 || begin <= (marks_.empty() ? 0 : marks_.back()) ||
            !stack_[begin - 1].is(kind))
            fail("adds to what is not " + std::string(to_string(kind)) + here());
        if (kind == Kind::dict) {
            if ((stack_.size() - begin) % 2 != 0) fail("has a key without a value" + here());
            for (std::size_t i = begin; i < stack_.size(); i += 2)
                if (stack_[i].is(Kind::list) || stack_[i].is(Kind::dict))
                    fail("has " + std::string(to_string(stack_[i].kind)) + " as a key" + here());
        }
        const std::size_t index = stack_[begin - 1].index();
        for (std::size_t i = begin; i < stack_.size(); ++i) add(index, stack_[i]);
        stack_.resize(begin);
    }

    void push_global(std::string_view module, std::string_view name) {
        const std::string wanted =
            std::string(module.substr(0, 100)) + "." + std::string(name.substr(0, 100));
        const auto found = std::find(globals_.begin(), globals_.end(), wanted);
        if (found == globals_.end())
            fail("needs " + repaired_utf8(wanted) + here() +
                 ", which is refused; only weights are read, tensors in plain containers");
        push(Kind::global, static_cast<std::uint64_t>(found - globals_.begin()));
    }
    std::string_view line() {
        const std::size_t end = bytes_.find('\n', position_);
        if (end == std::string_view::npos) fail("ends in the middle");
        const std::string_view text = bytes_.substr(position_, end - position_);
        position_ = end + 1;
        return text;
    }
    void stack_global() {
        const Value name = pop(), module = pop();
        if (!name.is(Kind::text) || !module.is(Kind::text))
            fail("names a class or function by " + std::string(to_string(name.kind)) + here());
        push_global(text(module), text(name));
    }
    void reduce() {
        const Value arguments = pop(), callee = pop();
        if (!callee.is(Kind::global) || !arguments.is(Kind::tuple))
            fail("calls " + std::string(to_string(callee.kind)) + here());
        if (global(callee) == ordered_dict) {
            if (!items(arguments).empty()) fail("fills an OrderedDict in an unusual way" + here());
            push_node(Kind::dict);
            return;
        }
        push_node(Kind::call);
        const std::size_t index = stack_.back().index();
        add(index, callee);
        add(index, arguments);
    }
    // Attributes of a dict, such as the versions of modules that PyTorch keeps with it.
    void build() {
        pop();
        if (!top().is(Kind::dict))
            fail("sets attributes of " + std::string(to_string(top().kind)) + here() +
                 "; expected an OrderedDict");
    }

    void put(std::uint64_t index) {
        if (index >= most_values) fail("has a memo of more than its limit" + here());
        const Value value = top();
        if (index >= memo_.size()) {
            while (memo_.size() <= index) {
                count_one();
                memo_.push_back({Kind::none, not_set, 0});
            }
        }
        memo_[static_cast<std::size_t>(index)] = value;
    }
    void get(std::uint64_t index) {
        if (index >= memo_.size() || (memo_[index].is(Kind::none) && memo_[index].size == not_set))
            fail("uses the memo's number " + std::to_string(index) + ", which is not set," +
                 here());
        push(memo_[static_cast<std::size_t>(index)]);
    }

    // One opcode; false after the last.
    bool step() {
        opcode_position_ = position_;
        const unsigned char opcode = byte();
        switch (opcode) {
            case '.': return false;
            case '(':
                count_one();
                marks_.push_back(static_cast<std::uint32_t>(stack_.size()));
                return true;
            case '0': pop(); return true;
            case '1': stack_.resize(pop_mark()); return true;

            case 'N': push(Kind::none); return true;
            case 0x88: push(Kind::boolean, 1); return true;
            case 0x89: push(Kind::boolean, 0); return true;
            case 'K': push(Kind::integer, number(1)); return true;
            case 'M': push(Kind::integer, number(2)); return true;
            case 'J': push_integer(4); return true;
            case 0x8A: push_integer(number(1)); return true;
            case 0x8B: push_integer(number(4)); return true;
            case 'G': {
                std::uint64_t bits = 0;  // the one number with its highest byte first
                for (int i = 0; i < 8; ++i) bits = (bits << 8) | byte();
                push(Kind::real, bits);
                return true;
            }
            case 'U':  // texts of Python 2
            case 0x8C: push_text(number(1)); return true;
            case 'T':
            case 'X': push_text(number(4)); return true;
            case 0x8D: push_text(number(8)); return true;

            case ']': push_node(Kind::list); return true;
            case '}': push_node(Kind::dict); return true;
            case ')': gather(Kind::tuple, stack_.size()); return true;
            case 0x85: gather_last(Kind::tuple, 1); return true;
            case 0x86: gather_last(Kind::tuple, 2); return true;
            case 0x87: gather_last(Kind::tuple, 3); return true;
            case 't': gather(Kind::tuple, pop_mark()); return true;
            case 'a': append_last(Kind::list, 1); return true;
            case 'e': append(Kind::list, pop_mark()); return true;
            case 's': append_last(Kind::dict, 2); return true;
            case 'u': append(Kind::dict, pop_mark()); return true;

            case 'q': put(number(1)); return true;
            case 'r': put(number(4)); return true;
            case 0x94: put(memo_.size()); return true;
            case 'h': get(number(1)); return true;
            case 'j': get(number(4)); return true;

            case 'c': {
                const std::string_view module = line();
                push_global(module, line());
                return true;
            }
            case 0x93: stack_global(); return true;
            case 'R': reduce(); return true;
            case 'b': build(); return true;
            case 'Q': gather_last(Kind::persistent, 1); return true;
            case 0x95: {  // a hint for readers of streams
                const std::uint64_t size = number(8);
                if (size > bytes_.size() - position_) fail("ends in the middle");
                return true;
            }
            default: break;
        }
        fail("has the opcode " + detail::pickle_opcode_name(opcode) + here() +
             ", which is refused; only weights are read, tensors in plain containers");
    }
    void append_last(Kind kind, std::size_t count) {
        if (stack_.size() < count) fail("takes too much" + here());
        append(kind, stack_.size() - count);
    }

    static constexpr std::uint32_t not_set = 1;

    std::string_view bytes_;
    std::span<const std::string_view> globals_;
    std::string where_;
    std::size_t position_ = 0, opcode_position_ = 0;
    std::size_t count_ = 0;
    std::vector<Value> stack_;
    std::vector<std::uint32_t> marks_;
    std::vector<Value> memo_;
    std::vector<PickleNode> nodes_;
    Value root_;
};

}  // namespace dalle2
