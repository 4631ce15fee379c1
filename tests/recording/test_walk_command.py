"""``lazymmu walk``: its JSON is what the schema says, and what the image says."""

from __future__ import annotations

import json

import jsonschema
import pytest

from lazymmu.recording.image import Image
from lazymmu.report import schemas

from ..cli.test_json import lazymmu
from .places import SMALL

IMAGES = sorted(SMALL.glob("*/tables.ptimg.xz"))


@pytest.mark.parametrize("file", IMAGES, ids=lambda f: f.parent.name)
def test_ranges(file: object) -> None:
    value = json.loads(lazymmu("walk", str(file), "--json").stdout)
    jsonschema.validate(value, schemas.schema("walk"))
    image = Image(str(file))
    assert len(value["ranges"]) == len(list(image.ranges()))
    one = value["ranges"][len(value["ranges"]) // 2]
    walk = json.loads(lazymmu("walk", str(file), one["va"], "--json").stdout)
    jsonschema.validate(walk, schemas.schema("walk"))
    assert walk["pa"] in (one["pa"], None)
    assert walk["levels"][-1]["raw"] == one["raw"]
    assert walk["levels"][-1]["level"] == one["level"]


def test_an_address_of_the_user_half() -> None:
    file = SMALL / "x86_64-6.12.117-4lvl"
    value = json.loads(lazymmu("walk", str(file), "0x401000", "--json").stdout)
    assert (value["root"], value["pa"]) == ("user", "0x1fe21000")
    assert [step["level"] for step in value["levels"]] == ["p4d", "pud", "pmd", "pte"]
    nothing = json.loads(lazymmu("walk", str(file), "0x1000", "--json").stdout)
    assert nothing["pa"] is None


def test_no_number() -> None:
    done = lazymmu("walk", str(SMALL / "x86_64-6.12.117-4lvl"), "zero")
    assert done.returncode == 2
    assert "'zero'" in done.stderr
