#!/usr/bin/env python3
"""Writes golden/*_tokens.json: strings and what transformers' CLIPTokenizerFast makes of them.

    python make_golden.py bpe_simple_vocab_16e6.txt.gz

Needs transformers 4.x. The strings: prompts of all kinds, random ones over chosen alphabets, and
awkward ones. openai_tokens.json belongs to OpenAI's vocabulary, small_tokens.json to the one in
golden/small_tokenizer, which clip_tokenizer.cpp learns from the texts that it holds.
"""
import gzip
import json
import pathlib
import random
import sys
import tempfile

from transformers import CLIPTokenizerFast

BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def byte_characters():
    codes = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in codes]
    return [chr(c) for c in codes] + [chr(0x100 + i) for i in range(len(others))]


def make_folder(folder, openai_file, pad):
    lines = gzip.open(openai_file).read().decode("utf-8").split("\n")
    merges = lines[1 : 49152 - 256 - 2 + 1]
    tokens = byte_characters()
    tokens += [t + "</w>" for t in tokens]
    tokens += ["".join(m.split()) for m in merges] + [BOS, EOS]
    folder = pathlib.Path(folder)
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    specials = {"bos_token": BOS, "eos_token": EOS, "unk_token": EOS, "pad_token": pad}
    (folder / "special_tokens_map.json").write_text(json.dumps(specials))
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, **specials}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return tokens


def strings(tokens):
    rng = random.Random(20220413)
    words = [t[:-4] for t in tokens if t.endswith("</w>") and t[:-4].isascii() and t[:-4].isalpha()]
    colors = "red orange yellow green blue purple pink".split()
    places = ["left of", "right of", "above", "below"]
    awkward = [
        "", " ", "\n\t ", "a", "A", "!", "!!!", "'", "''", "'s", "''s", "it's", "IT'S 'TIS we'll've'd",
        "don\u2019t", "x'Re", "3.14", "1,000,000", "½ Ⅷ ² ٣", "a\u00a0b\u3000c\u2003d\u200be", "a\x00b\x1fc\x7fd\x85e",
        "İstanbul", "ΣΑΣ ΟΔΟΣ", "STRASSE straße ẞ", "ǅ ǆ Ǆ", "ﬁ ﬂ", "é e\u0301 É E\u0301", "a\u0323\u0307 a\u0307\u0323",
        "가각 \u1100\u1161\u11a8", "Å \u212b Ω \u2126", "日本語の文字", "中文 English混合", "العربية ١٢٣", "हिन्दी ४५", "ภาษาไทย",
        "🦉 ☃️ 👩‍👩‍👧 🇩🇪 🏳️‍🌈", "a🦉b", "\ufffd", "\U0010ffff", "<|endoftext|>", "<|startoftext|>x<|endoftext|>y",
        "<|ENDOFTEXT|> A", "<|endoftext", "a<|endoftext|>'s", "<| endoftext |>", "</w>", "a</w>b", "Ġhello", "Ā",
        "http://example.com/a?b=c&d=%20", "foo_bar-baz.qux", "C++20", "#hashtag @name $5 50%", "\\n\\t\\u0041",
        "antidisestablishmentarianism", "Donaudampfschifffahrtsgesellschaftskapitän", "zzzzzzzzzzqqqqqqqqq",
        "a " * 100, "supercalifragilistic " * 12, "ab" * 200, "(((())))", "----====++++", "...!?!?...",
    ]
    result = list(awkward)
    for _ in range(260):
        one, two = rng.sample(words, 2)
        result.append(f"a {rng.choice(colors)} {one} {rng.choice(places)} a {two} on a {rng.choice(colors)} background")
    for _ in range(170):
        text = " ".join(rng.choice(words) for _ in range(rng.randrange(1, 9)))
        result.append(rng.choice([text, text.upper(), text.title(), text + "!", text.replace(" ", ", ")]))
    alphabets = ["abcdefghijklmnopqrstuvwxyz", "'stremvld ABC é!? \t\n", "0123456789 .,-+x", "aeiou\u0300\u0301\u0316\u0327İßſΣς",
                 "абвгдежз АБВ", "αβγδ ΑΒΓΣς", "日月火水木金土の は", "🦉🐘🍎☃ ", "<|>endoftx ", "".join(map(chr, range(0x20, 0x7F))),
                 "".join(map(chr, range(0xA0, 0x250))), "".join(map(chr, range(1, 0x20))) + "abc"]
    for _ in range(620):
        alphabet = rng.choice(alphabets)
        result.append("".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 22))))
    return result


def tokenize(folder, pad, texts):
    ids = CLIPTokenizerFast.from_pretrained(folder)(texts, add_special_tokens=False)["input_ids"]
    return {"pad": pad, "texts": texts, "ids": [" ".join(map(str, i)) for i in ids]}


def write(name, sets):
    path = pathlib.Path(__file__).parent / "golden" / name
    path.write_text(json.dumps(sets, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(path, path.stat().st_size, "bytes,", sum(len(s["texts"]) for s in sets), "strings")


def main():
    with tempfile.TemporaryDirectory() as folder:
        texts = strings(make_folder(folder, sys.argv[1], EOS))
        sets = [tokenize(folder, EOS, texts)]
        # Another pad token is special itself, wherever it stands in a prompt.
        make_folder(folder, sys.argv[1], "!")
        texts_with_marks = ["hello!", "!!a!b !", "wow! It's<|endoftext|>!", "no mark", "A ¡B! 1!2"]
        sets.append(tokenize(folder, "!", texts_with_marks))
    write("openai_tokens.json", sets)
    small = pathlib.Path(__file__).parent / "golden" / "small_tokenizer"
    write("small_tokens.json", [tokenize(small, EOS, texts[:90] + texts[-60:])])


main()
