"""Decoding and encoding arrays of entries, against the same in vectorised NumPy: `python benches/descriptor.py`.

Both sides fill the same structured array from the same words in the same run, with arrays that exist beforehand. What
NumPy does is what one would write by hand: the kind by a mask and a comparison for each, then one shift and mask a
column. It knows of which kind all words will be, fills the columns of that one only, and leaves the verdict out, so
ratios flatter it. Times are CPU times of one thread, the best of several rounds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lazymmu import _native, descriptor

VECTORS = Path(__file__).parent.parent / "tests" / "vectors"


@dataclass(frozen=True)
class Place:
    """Words of one kind at one level, all like a published vector but for their addresses."""

    geometry: str
    level: str
    kind: descriptor.Kind
    like: int

    def words(self, count: int) -> np.ndarray:
        """At random addresses, a quarter of them with one more software bit."""
        rng = np.random.default_rng(1)
        width = _native.geometries()[self.geometry]["pa_bits"]
        address = mask_of(self.kind, "address") & ((1 << width) - 1)
        software = mask_of(self.kind, "software")
        words = np.uint64(self.like & ~address) | rng.integers(0, 1 << 63, count, dtype=np.uint64) & np.uint64(address)
        quarter = (rng.integers(0, 4, count, dtype=np.uint64) == 0).astype(np.uint64)
        words ^= quarter * np.uint64(software & -software)
        # Where low bits of an address make another kind of it, the vector itself.
        same = descriptor.decode_many(words, self.geometry, self.level)["kind"] == self.code
        return np.where(same, words, np.uint64(self.like))

    @property
    def code(self) -> int:
        """The kind as records have it."""
        return descriptor.kinds(self.geometry, self.level).index(self.kind)


def mask_of(kind: descriptor.Kind, role: str) -> int:
    """Bits of the fields with this role."""
    parts = [part for field in kind.fields if field.role == role for part in field.parts]
    return sum(((1 << (high - low + 1)) - 1) << low for high, low, _ in parts)


def places() -> Iterator[Place]:
    """A leaf of each level up to the pud, and a link, of the first geometry of every backend."""
    for backend, _, geometries in _native.backends():
        if backend == "xen-pv":
            continue  # the words of x86-64
        vectors = json.loads((VECTORS / f"{backend}.json").read_text())
        seen = set()
        for vector in vectors:
            geometry, level, word = vector["geometry"], vector["level"], int(vector["word"], 0)
            if geometry != geometries[0] or vector["verdict"] != "valid":
                continue
            found = descriptor.decode(word, geometry, level, backend=backend)
            key = (level if found.hardware == "leaf" else "", found.hardware)
            if found.hardware == "invalid" or key in seen:
                continue
            seen.add(key)
            kinds = descriptor.kinds(geometry, level, backend=backend)
            yield Place(geometry, level, next(kind for kind in kinds if kind.name == found.kind), word)


def best(action: Callable[[], object], rounds: int) -> float:
    """Seconds of CPU time of the fastest round."""
    times = []
    for _ in range(rounds):
        start = time.thread_time()
        action()
        times.append(time.thread_time() - start)
    return min(times)


class Numpy:
    """The same records by NumPy: a list of (column, shift, mask, at) from the fields of the kind."""

    def __init__(self, place: Place) -> None:
        self.kinds = [
            (np.uint64(kind.mask), np.uint64(kind.value)) for kind in descriptor.kinds(place.geometry, place.level)
        ]
        self.moves = [
            (field.name, np.uint64(low), np.uint64((1 << (high - low + 1)) - 1), np.uint64(at))
            for field in place.kind.fields
            for high, low, at in field.parts
        ]

    def decode(self, words: np.ndarray, out: np.ndarray) -> None:
        seen = set()
        for name, low, mask, at in self.moves:
            value = (words >> low & mask) << at
            out[name] = out[name] | value if name in seen else value
            seen.add(name)
        out["kind"] = self._kind(words)

    def _kind(self, words: np.ndarray) -> np.ndarray:
        """The first kind that takes a word, from the last to the first."""
        found = np.full(words.shape, len(self.kinds) - 1, np.uint8)
        for code, (mask, value) in reversed(list(enumerate(self.kinds))):
            found[words & mask == value] = code
        return found

    def encode(self, records: np.ndarray, out: np.ndarray) -> None:
        out[:] = 0
        for name, low, mask, at in self.moves:
            out |= (records[name].astype(np.uint64) >> at & mask) << low
        if not (self._kind(out) == records["kind"]).all():
            raise ValueError("a record is not of its kind")


def measure(place: Place, count: int, rounds: int) -> dict[str, object]:
    geometry, level, words = place.geometry, place.level, place.words(count)
    records, back = descriptor.decode_many(words, geometry, level), np.empty_like(words)
    peer, theirs, their_words = Numpy(place), np.zeros_like(records), np.empty_like(words)
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
        "kind": place.kind.name,
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
    rows = [measure(place, count, options.rounds) for place in places() for count in options.words]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print(
            f"{row['geometry']:<21} {row['level']} {row['kind']:<10} {row['words']:>7} of {row['record_bytes']} bytes: "
            f"decode {row['decode_mwords_s']:>4} M/s (NumPy {row['numpy_decode_mwords_s']}, x{row['decode_ratio']}), "
            f"encode {row['encode_mwords_s']:>4} M/s (NumPy {row['numpy_encode_mwords_s']}, x{row['encode_ratio']})"
        )


if __name__ == "__main__":
    main()
