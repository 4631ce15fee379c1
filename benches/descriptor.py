"""Decoding and encoding arrays of entries, against the same in vectorised NumPy: `python benches/descriptor.py`.

Both sides fill the same structured array from the same words in the same run, with arrays that exist beforehand. What
NumPy does is what one would write by hand: one shift and mask a column, and the kind from the bits that decide it. Its
verdict column is left out, so the ratio flatters NumPy. Times are CPU times of one thread, the best of several rounds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

from lazymmu import descriptor

PLACES = (
    ("arm64-4k-48", "pte", 0x00E8_0000_0000_0703),
    ("arm64-4k-48", "pmd", 0x00E8_0000_0000_0701),
    ("x86-64-4level", "pte", 0x8000_0000_0000_0163),
    ("x86-64-4level", "pmd", 0x8000_0000_0000_01E3),
)
"""Geometry, level, and the attributes of leaves that go around random addresses."""


def best(action: Callable[[], object], rounds: int) -> float:
    """Seconds of CPU time of the fastest round."""
    times = []
    for _ in range(rounds):
        start = time.thread_time()
        action()
        times.append(time.thread_time() - start)
    return min(times)


def words_of(level: str, attributes: int, count: int) -> np.ndarray:
    """Leaves at random addresses, aligned for their level, a quarter of them with random software bits."""
    shift = {"pte": 12, "pmd": 21}[level]
    rng = np.random.default_rng(1)
    words = rng.integers(0, 1 << (40 - shift), count, dtype=np.uint64) << np.uint64(shift) | np.uint64(attributes)
    return words ^ (rng.integers(0, 4, count, dtype=np.uint64) == 0).astype(np.uint64) << np.uint64(55)


class Numpy:
    """The same records by NumPy: a list of (column, shift, mask, at) from the leaf's fields."""

    def __init__(self, geometry: str, level: str) -> None:
        leaf = next(kind for kind in descriptor.kinds(geometry, level) if kind.hardware == "leaf")
        self.code = [kind.name for kind in descriptor.kinds(geometry, level)].index(leaf.name)
        self.moves = [
            (field.name, np.uint64(low), np.uint64((1 << (high - low + 1)) - 1), np.uint64(at))
            for field in leaf.fields
            for high, low, at in field.parts
        ]

    def decode(self, words: np.ndarray, out: np.ndarray) -> None:
        seen = set()
        for name, low, mask, at in self.moves:
            value = (words >> low & mask) << at
            out[name] = out[name] | value if name in seen else value
            seen.add(name)
        out["kind"] = self.code

    def encode(self, records: np.ndarray, out: np.ndarray) -> None:
        out[:] = 0
        for name, low, mask, at in self.moves:
            out |= (records[name].astype(np.uint64) >> at & mask) << low


def measure(geometry: str, level: str, attributes: int, count: int, rounds: int) -> dict[str, object]:
    words = words_of(level, attributes, count)
    records, back = descriptor.decode_many(words, geometry, level), np.empty_like(words)
    peer, theirs, their_words = Numpy(geometry, level), np.zeros_like(records), np.empty_like(words)
    ours_decode = best(lambda: descriptor.decode_many(words, geometry, level, out=records), rounds)
    ours_encode = best(lambda: descriptor.encode_many(records, geometry, level, out=back), rounds)
    peer_decode = best(lambda: peer.decode(words, theirs), max(2, rounds // 8))
    peer_encode = best(lambda: peer.encode(records, their_words), max(2, rounds // 8))
    theirs["verdict"] = records["verdict"]
    assert (back == words).all(), "not the same words"
    assert (their_words == words).all(), "not the same words by NumPy"
    used = [name for name, *_ in peer.moves]
    assert all((theirs[name] == records[name]).all() for name in used), "not the same records"
    return {
        "geometry": geometry,
        "level": level,
        "words": count,
        "record_bytes": records.dtype.itemsize,
        "decode_mwords_s": round(count / ours_decode / 1e6),
        "encode_mwords_s": round(count / ours_encode / 1e6),
        "numpy_decode_mwords_s": round(count / peer_decode / 1e6, 1),
        "numpy_encode_mwords_s": round(count / peer_encode / 1e6, 1),
        "decode_ratio": round(peer_decode / ours_decode, 1),
        "encode_ratio": round(peer_encode / ours_encode, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--words", type=int, nargs="+", default=[1 << 14, 1 << 20], help="sizes of arrays")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [measure(*place, count, options.rounds) for place in PLACES for count in options.words]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print(
            f"{row['geometry']:<14} {row['level']} {row['words']:>8} words of {row['record_bytes']} bytes: "
            f"decode {row['decode_mwords_s']:>4} M/s (NumPy {row['numpy_decode_mwords_s']}, x{row['decode_ratio']}), "
            f"encode {row['encode_mwords_s']:>4} M/s (NumPy {row['numpy_encode_mwords_s']}, x{row['encode_ratio']})"
        )


if __name__ == "__main__":
    main()
