"""Whether each header includes what it uses: of the standard library, Eigen, xtensor and JSON, and of dalle2.

    python3 tests/headers/check_used_names.py include

It takes two seconds, where compiling each header by itself (the target dalle2_test_each_header) takes a quarter of an
hour; and it finds what that misses, because the large libraries, precompiled there, bring much of the standard library
along. A name may come from a header of dalle2 that is included. Names of the libraries are looked for in a list, so what
is not in it is not checked. Of dalle2's own, types and concepts are checked wherever they stand, functions and constants
where they are written with their namespace, because members and variables are called the same.
"""

import pathlib
import re
import sys

# What stands after "std::", unless there is another prefix: a regular expression for each header.
NAMES = {
    "algorithm": r"(sort|stable_sort|min|max|clamp|copy|copy_n|fill|fill_n|any_of|all_of|none_of|find|find_if|count_if"
    r"|transform|reverse|lower_bound|upper_bound|min_element|max_element|equal|remove_if|nth_element|rotate|unique"
    r"|minmax_element|binary_search|generate)[(<]",
    "array": r"array<",
    "atomic": r"atomic\b",
    "bit": r"(bit_cast|endian|popcount|countl_zero|countr_zero|bit_width|bit_ceil)\b",
    "charconv": r"(from_chars|to_chars)\b",
    "chrono": r"chrono\b",
    "cmath": r"(sqrt|exp|log|log10|pow|floor|ceil|round|nearbyint|isfinite|isnan|sin|cos|tanh|erf|lround|llround|trunc"
    r"|fmod|hypot)[(<]",
    "concepts": r"(same_as|integral|floating_point|convertible_to|derived_from)\b",
    "cstddef": r"(size_t|byte|ptrdiff_t)\b",
    "cstdint": r"u?int(8|16|32|64)_t\b",
    "cstdio": r"(snprintf|printf|fprintf|fputs|fopen|FILE)\b",
    "cstdlib": r"(getenv|abort|strtol|strtod|atoi|aligned_alloc)\b",
    "cstring": r"mem(cpy|cmp|set|move|chr)\(",
    "exception": r"(exception|exception_ptr|current_exception)\b",
    "filesystem": r"filesystem\b",
    "fstream": r"[io]?fstream\b",
    "functional": r"(function<|less<|greater<|hash<)",
    "initializer_list": r"initializer_list\b",
    "iterator": r"(back_inserter|make_move_iterator|prev|next|distance|advance|istreambuf_iterator)\b",
    "limits": r"numeric_limits\b",
    "map": r"(multi)?map<",
    "memory": r"(unique_ptr|shared_ptr|weak_ptr|make_unique|make_shared)\b",
    "mutex": r"(mutex|lock_guard|unique_lock)\b",
    "numbers": r"numbers\b",
    "numeric": r"(accumulate|iota|gcd|lcm|inner_product|partial_sum|reduce)[(<]",
    "optional": r"(optional<|nullopt\b)",
    "random": r"(mt19937|normal_distribution|uniform_)",
    "set": r"set<",
    "span": r"(span|as_bytes|as_writable_bytes)\b",
    "sstream": r"[io]?stringstream\b",
    "stdexcept": r"(runtime_error|logic_error|invalid_argument|out_of_range)\b",
    "stop_token": r"stop_",
    "string": r"(string|to_string|stod|stoi|stoll|stof|u32string|u16string)\b",
    "string_view": r"string_view\b",
    "system_error": r"(error_code|system_error|errc|generic_category)\b",
    "thread": r"(thread|jthread|this_thread)\b",
    "tuple": r"(tuple<|tie\()",
    "type_traits": r"(conditional_t|enable_if_t|remove_cvref_t|decay_t|is_\w+_v|true_type|false_type|type_identity"
    r"|invoke_result_t)\b",
    "unordered_map": r"unordered_map<",
    "unordered_set": r"unordered_set<",
    "utility": r"(move|pair|swap|exchange|forward|declval)\b",
    "variant": r"(variant<|visit\()",
    "vector": r"vector<",
}
PATTERNS = {header: re.compile(r"\bstd::" + names) for header, names in NAMES.items()}
PATTERNS["cassert"] = re.compile(r"\bassert\(")
PATTERNS["nlohmann/json.hpp"] = re.compile(r"\bnlohmann::")
PATTERNS["Eigen/Core"] = re.compile(r"\bEigen::")
PATTERNS["dalle2/core/xtensor.hpp"] = re.compile(r"\bxt::")

# What a header of dalle2 defines for others stands at the beginning of a line: namespaces are not indented.
TYPE = re.compile(r"^(?:struct|class|enum class|concept|using(?= \w+ =)) (\w+)(?!\w*;)", re.M)
FUNCTION = re.compile(
    r"^(?! |namespace|using|struct|class|enum|return|template|static_assert)[\w:<>,&*\[\] ]* [&*]*(\w+)\(", re.M
)
CONSTANT = re.compile(r"^(?:inline |constexpr |const )+[\w:<>,&* ]* (\w+)(?:\[\w*\])*(?: =|\{)", re.M)
# What it gives a meaning of its own: members that are types, and parameters of templates.
LOCAL = re.compile(r"\b(?:using|struct|class|typename|concept|auto|\w+::\w+) (\w+)\b")
USED = re.compile(r"(\w+::)?\b([A-Za-z]\w+)\b")


def missing_of_dalle2(codes, reached):
    """What headers use of dalle2's own headers and do not include, as sentences."""
    providers = {}
    for name, code in codes.items():
        for pattern in (TYPE, FUNCTION, CONSTANT):
            for found in pattern.findall(code):
                providers.setdefault(found, set()).add(name)
    types = {found for code in codes.values() for found in TYPE.findall(code)}
    for name, code in codes.items():
        if not name.endswith(".hpp"):
            continue
        local = set(LOCAL.findall(code))
        said = set()
        for prefix, word in USED.findall(code):
            ours = prefix in ("dalle2::", "detail::", "kernels::")
            if word in said or word not in providers or providers[word] & reached[name]:
                continue
            if ours or (word in types and not prefix and word not in local):
                said.add(word)
                yield f"{name} says {word} and includes none of {', '.join(sorted(providers[word]))}"


def main(root):
    paths = sorted(path for path in root.rglob("*") if path.suffix in (".hpp", ".inl"))
    texts = {str(path.relative_to(root)): path.read_text(encoding="utf-8") for path in paths}
    includes = {name: set(re.findall(r"^ *# *include <([^>]+)>", text, re.M)) for name, text in texts.items()}

    def everything(name, seen):
        """What a header includes, directly or through others of the project."""
        if name not in seen:
            seen.add(name)
            for other in includes.get(name, ()):
                everything(other, seen)
        return seen

    codes = {name: re.sub(r"//.*", "", re.sub(r'"(\\.|[^"\\\n])*"', '""', text)) for name, text in texts.items()}
    reached = {name: everything(name, set()) for name in texts}
    problems, checked = list(missing_of_dalle2(codes, reached)), 0
    for name, code in codes.items():
        if not name.endswith(".hpp"):
            continue
        checked += 1
        for header, pattern in PATTERNS.items():
            found = pattern.search(code)
            if found and header not in reached[name]:
                problems.append(f"{name} says {found.group(0)} and includes no <{header}>")
    print("\n".join(problems) or f"{checked} headers include what they use.")
    return 1 if problems or not checked else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(pathlib.Path(sys.argv[1])))
