"""Generated pages are up to date, links lead somewhere, and every hazard has its page."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from lazymmu import _native

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [p for p in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")] if "_build" not in p.parts]


def test_support_matrix() -> None:
    page = runpy.run_path(str(DOCS / "support_matrix.py"))["page"]()
    assert (DOCS / "support-matrix.md").read_text() == page, "run python docs/support_matrix.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("backend", [name for name, *_ in _native.backends()])
def test_backends_have_pages_that_begin_with_what_is_not_modelled(backend: str) -> None:
    title, _, first, *rest = (DOCS / "backends" / f"{backend}.md").read_text().splitlines()
    assert title == f"# {backend}"
    assert first.startswith("**Not modelled:** ")
    assert any(line.startswith("**Sources:**") for line in rest)


def test_hazards_have_pages() -> None:
    codes = {code for code, *_ in _native.hazards()}
    pages = {page.stem for page in (DOCS / "hazards").glob("*.md")} - {"index"}
    assert codes == pages
