#!/usr/bin/env python3
"""Prints the tables of include/dalle2/text/unicode_tables.hpp.

    python make_unicode_tables.py

Needs Python 3.11 (Unicode 14), tokenizers 0.21 and a regex module as new as can be had: the tables
say what those two know, and which characters have come since, so that the tokenizer gives the
same tokens with every version of utf8proc.
"""
import sys
import unicodedata

import regex
from tokenizers import Regex, normalizers, pre_tokenizers

CODES = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]


def ranges(codes):
    result = []
    for code in sorted(codes):
        if result and result[-1][1] == code - 1:
            result[-1][1] = code
        else:
            result.append([code, code])
    return result


def show(name, codes):
    print(f"\n// {name}: {len(codes)} characters")
    print("".join("{0x%X, 0x%X}, " % tuple(pair) for pair in ranges(codes)))


def matcher(pattern):
    split = pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)
    return lambda code: bool(split.pre_tokenize_str(chr(code)))


def main():
    if unicodedata.unidata_version != "14.0.0":
        sys.exit("this Python knows Unicode " + unicodedata.unidata_version + ", expected 14.0.0")
    nfc, lower = normalizers.NFC().normalize_str, normalizers.Lowercase().normalize_str
    unassigned = [code for code in CODES if unicodedata.category(chr(code)) == "Cn"]
    known = set(CODES) - set(unassigned)
    show("newer_than_unicode_14", [c for c in unassigned if not regex.match(r"\p{Cn}", chr(c))])
    letter, number = matcher(r"\p{L}"), matcher(r"\p{N}")
    show("newer_letters", [c for c in unassigned if letter(c)])
    show("newer_numbers", [c for c in unassigned if number(c)])
    for code in unassigned:
        if lower(chr(code)) != chr(code):
            print("lower case of %X: %X" % (code, ord(lower(chr(code)))))

    # A mark that is unknown to the normalisation is not moved before or behind its neighbours.
    def unknown(code):
        pairs = [chr(code) + "\u0334", "\u0334" + chr(code), "\u035D" + chr(code), chr(code) + "\u0323"]
        return any(nfc(pair) != unicodedata.normalize("NFC", pair) for pair in pairs)

    show("unknown_to_nfc_of_tokenizers, marks", [c for c in known if unknown(c)])
    for code in known:
        parts = unicodedata.normalize("NFD", chr(code))
        if parts != chr(code) and nfc(parts) != unicodedata.normalize("NFC", parts):
            print("not composed: %X" % code, ["%X" % ord(part) for part in parts])

    # What str.lower() looks at beside a Greek capital sigma.
    cased = [c for c in known if (chr(c) + "Σ").lower().endswith("ς")]
    passed = [c for c in known if ("A" + chr(c) + "Σ").lower().endswith("ς") and c not in set(cased)]
    show("cased, not of Lu, Ll, Lt", [c for c in cased if unicodedata.category(chr(c)) not in ("Lu", "Ll", "Lt")])
    marks = ("Mn", "Me", "Cf", "Lm", "Sk")
    show("passed over, not of Mn, Me, Cf, Lm, Sk", [c for c in passed if unicodedata.category(chr(c)) not in marks])


main()
