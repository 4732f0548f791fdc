"""Writes float8.json: the value of every code of PyTorch's two 8-bit floats ("nan", "inf", "-inf" as texts).

    oracle/bin/python tests/golden/make_float8.py        # the environment that make_golden.py describes
"""

import json
import math
import pathlib

import torch


def value(x: float):
    return x if math.isfinite(x) else str(x)


codes = torch.arange(256, dtype=torch.int32).to(torch.uint8)
tables = {name: [value(x) for x in codes.view(getattr(torch, name)).float().tolist()]
          for name in ("float8_e4m3fn", "float8_e5m2")}
text = ",\n".join(f' "{name}": {json.dumps(values)}' for name, values in tables.items())
(pathlib.Path(__file__).resolve().parent / "float8.json").write_text("{\n" + text + "\n}\n")
