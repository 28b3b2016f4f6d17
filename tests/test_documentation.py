"""What the documentation names is there: links and their headings, fields, flags, Python names."""

import pathlib
import re

import pytest

import main
import simsearch
from configs import sweep
from simsearch.config import checks as config_checks

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = sorted(
    [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]
)
FILES = (".py", ".md", ".json", ".png", ".npz", ".safetensors")


def pages():
    return pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(text):
    """Returns the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages()
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), target
        if anchor:
            assert anchor in anchors(other.read_text()), target


@pages()
def test_fields_exist(page):
    fields = config_checks.flat(sweep.get_config().to_dict())
    groups = {name.rpartition(".")[0] for name in fields} | {name.split(".")[0] for name in fields}
    named = re.findall(r"--config\.([a-z_0-9.]+[a-z_0-9])=", page.read_text())
    named += [
        name
        for name in re.findall(r"`([a-z_]+(?:\.[a-z_0-9]+)+)(?:=[^`]*)?`", page.read_text())
        if name.split(".")[0] in groups and not name.endswith(FILES)
    ]
    known = fields.keys() | groups | {"group.field"}  # The last is how README says "any".
    # What a sweep searches has the names of the fields that it changes.
    unknown = [name for name in named if name.removeprefix("sweep.space.") not in known]
    assert not unknown


@pages()
def test_flags_exist(page):
    text = page.read_text().replace("\\\n", " ")
    for line in re.findall(r"main\.py(?: [^`|\n]*)?", text):
        flags = re.findall(r"--([a-z_]+)(?=[ =\]]|$)", line)
        assert not [name for name in flags if name != "help" and name not in main.FLAGS], line
        for mode in re.findall(r"--mode=([a-z]+)", line):
            assert mode in main.MODES, line


def test_python_names_exist():
    named = {
        name
        for page in PAGES
        for name in re.findall(r"\bsimsearch\.([a-zA-Z_]+)(?=[(`. ])", page.read_text())
    }
    assert {"train", "Index", "Embedder"} <= named
    modules = {path.stem for path in (ROOT / "simsearch").iterdir()}
    assert not [name for name in named if name not in modules and not hasattr(simsearch, name)]
