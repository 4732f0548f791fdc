#!/usr/bin/env python3
"""Compares the tokens of `dalle2 tokenize` with those of transformers, on some 30,000 strings.

    python check_tokenizer.py bpe_simple_vocab_16e6.txt.gz [--tool build/examples/dalle2/dalle2]

The vocabulary is OpenAI's; the PyPI package open_clip_torch contains it. Needs transformers 4.49
with tokenizers 0.21 and Python 3.11; where ftfy is installed, it is counted what that changes. Ends
with status 1 if a single id differs.

    python check_tokenizer.py --golden

writes tests/text/golden/corpus.json instead: some of the strings, and check sums of their tokens by
the vocabulary of the model that comes with the project.
"""
import argparse
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile
import zlib

from tokenizer_corpus import corpus

try:
    import ftfy
except ImportError:
    ftfy = None
sys.modules["ftfy"] = None  # the slow class looks for it when it is made
from transformers import CLIPTokenizer, CLIPTokenizerFast  # noqa: E402

START, END = "<|startoftext|>", "<|endoftext|>"
HERE = pathlib.Path(__file__).resolve().parent


def byte_characters():
    codes = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in codes]
    return [chr(c) for c in codes] + [chr(0x100 + i) for i in range(len(others))]


def write_folder(folder, openai_file, pad=END):
    """vocab.json and merges.txt, as OpenAI's tokenizer reads its list."""
    lines = gzip.open(openai_file).read().decode("utf-8").split("\n")
    merges = lines[1 : 49152 - 256 - 2 + 1]
    tokens = byte_characters()
    tokens += [token + "</w>" for token in tokens]
    tokens += ["".join(merge.split()) for merge in merges] + [START, END]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    specials = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": pad}
    (folder / "special_tokens_map.json").write_text(json.dumps(specials))
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": END}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_tokenizer_json(folder, fast):
    """The same tokenizer as one file, with merges as lists of two and as texts."""
    fast.save_pretrained(folder / "saved")
    pairs = folder / "saved" / "tokenizer.json"
    content = json.loads(pairs.read_text())
    assert isinstance(content["model"]["merges"][0], list)
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    texts = folder / "tokenizer.json"
    texts.write_text(json.dumps(content, ensure_ascii=False))
    return pairs, texts


def ours(tool, model, behaviour, texts):
    """The ids that the tool prints. Texts go in as lines of JSON, bytes as they are."""
    as_bytes = isinstance(texts[0], bytes)
    lines = texts if as_bytes else [json.dumps(text).encode() for text in texts]
    command = [tool, "tokenize", "--file", "-", "--json", "--behaviour", behaviour, "--model", model]
    run = subprocess.run(command + ([] if as_bytes else ["--json-lines"]), input=b"\n".join(lines) + b"\n", capture_output=True)
    if run.returncode:
        sys.exit(run.stderr.decode(errors="replace"))
    return [json.loads(line)["ids"] for line in run.stdout.decode().split("\n")[:-1]]


def theirs(tokenizer, texts):
    texts = [text.decode("utf-8", errors="replace") if isinstance(text, bytes) else text for text in texts]
    return tokenizer(texts, add_special_tokens=False)["input_ids"]


def differing(a, b):
    assert len(a) == len(b)
    return [i for i in range(len(a)) if a[i] != b[i]]


def write_golden():
    """texts: the strings, bytes in hexadecimal digits in a list; fast, slow: 16 bits of the check
    sum of each string's ids, four digits after another."""
    project = HERE.parents[1]
    model = project / "examples/models/emoji-scenes/tokenizer"
    classes = {"fast": CLIPTokenizerFast.from_pretrained(model), "slow": CLIPTokenizer.from_pretrained(model)}
    golden = {"texts": [], "fast": "", "slow": ""}
    for _, texts in corpus():
        texts = [text for text in texts if len(text) <= 60]
        texts = texts[:: max(1, len(texts) // 190)]
        golden["texts"] += [[text.hex()] if isinstance(text, bytes) else text for text in texts]
        for name, tokenizer in classes.items():
            for ids in theirs(tokenizer, texts):
                golden[name] += "%04x" % (zlib.crc32(" ".join(map(str, ids)).encode()) & 0xFFFF)
    path = project / "tests/text/golden/corpus.json"
    path.write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(path.relative_to(project), path.stat().st_size, "bytes,", len(golden["texts"]), "strings")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("vocabulary", type=pathlib.Path, nargs="?")
    parser.add_argument("--golden", action="store_true")
    parser.add_argument("--tool", type=pathlib.Path, default=HERE.parents[1] / "build/examples/dalle2/dalle2")
    arguments = parser.parse_args()
    if arguments.golden:
        return write_golden()
    if not arguments.vocabulary:
        parser.error("expected bpe_simple_vocab_16e6.txt.gz")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_folder(folder / "clip", arguments.vocabulary)
        write_folder(folder / "marks", arguments.vocabulary, pad="!")
        fast = CLIPTokenizerFast.from_pretrained(folder / "clip")
        slow = CLIPTokenizer.from_pretrained(folder / "clip")
        with_ftfy = CLIPTokenizer.from_pretrained(folder / "clip")
        with_ftfy.fix_text = ftfy.fix_text if ftfy else None
        fast_marks = CLIPTokenizerFast.from_pretrained(folder / "marks")
        slow_marks = CLIPTokenizer.from_pretrained(folder / "marks")
        pairs, texts_json = write_tokenizer_json(folder, fast)
        runs = [("fast", folder / "clip", fast), ("slow", folder / "clip", slow), ("fast", folder / "marks", fast_marks),
                ("slow", folder / "marks", slow_marks), ("fast", pairs, fast), ("fast", texts_json, fast),
                ("fast", arguments.vocabulary, fast), ("slow", arguments.vocabulary, slow)]

        print(f"{'':26}{'strings':>9}{'unlike fast':>13}{'unlike slow':>13}{'other files':>13}{'fast/slow':>11}{'slow/ftfy':>11}")
        total = [0] * 6
        for category, texts in corpus():
            wrong = [0, 0, 0]
            for i, (behaviour, model, tokenizer) in enumerate(runs):
                reference = theirs(tokenizer, texts)
                found = ours(arguments.tool, model, behaviour, texts)
                different = differing(found, reference)
                wrong[min(i, 2)] += len(different)
                for at in different[:3]:
                    print(f"  {behaviour} {model.name}: {texts[at]!r}\n    ours {found[at]}\n    theirs {reference[at]}")
            slow_ids = theirs(slow, texts)
            row = [len(texts), *wrong, len(differing(theirs(fast, texts), slow_ids)), len(differing(slow_ids, theirs(with_ftfy, texts)))]
            total = [a + b for a, b in zip(total, row)]
            print(f"{category:26}{row[0]:9}{row[1]:13}{row[2]:13}{row[3]:13}{row[4]:11}{row[5] if ftfy else '-':>11}")
        print(f"{'together':26}{total[0]:9}{total[1]:13}{total[2]:13}{total[3]:13}{total[4]:11}{total[5] if ftfy else '-':>11}")
        sys.exit(1 if any(total[1:4]) else 0)


main()
