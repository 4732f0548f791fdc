"""Weights and inputs as a pure function of a name, so that none need to be stored.

deterministic.hpp is the same function in C++: an integer hash of the name and the element's index
gives four 16-bit numbers, whose sum is nearly normal and the same in every language.
"""

import numpy as np

WORD = (1 << 64) - 1


def name_hash(name: str) -> int:
    """FNV-1a over the bytes of the name."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & WORD
    return value


def normal(name: str, shape) -> np.ndarray:
    """Nearly normal numbers, mean 0 and deviation 1, in float64; within ±3.47."""
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64(name_hash(name))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    total = sum((z >> np.uint64(s)) & np.uint64(0xFFFF) for s in (0, 16, 32, 48)).astype(np.int64)
    return ((total - 131070) / 37837.0).reshape(shape)


def inputs(name: str, shape) -> np.ndarray:
    return normal(name, shape).astype(np.float32)


def weights(case: str, tensor: str, shape) -> np.ndarray:
    """Every tensor gets values that matter: norms around one, nothing zero."""
    values = normal(f"{case}:{tensor}", shape)
    if tensor.endswith("clip_std") or (len(shape) == 1 and tensor.endswith(".weight")):
        values = 1 + 0.2 * values
    elif tensor.endswith(".bias"):
        values = 0.1 * values
    elif tensor.endswith(".weight") and not (len(shape) == 2 and "_embedding.weight" in tensor):
        values = values / np.sqrt(np.prod(shape[1:]))
    else:  # tables and learned tokens
        values = 0.5 * values
    return values.astype(np.float32)


def fill(case: str, module) -> None:
    """Replace every parameter of a torch module."""
    import torch

    with torch.no_grad():
        for tensor, parameter in module.named_parameters():
            parameter.copy_(torch.from_numpy(weights(case, tensor, tuple(parameter.shape))))
