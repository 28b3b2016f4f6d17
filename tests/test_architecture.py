"""The rules of the house, read off the source: which way imports go, one door for each library."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "simsearch").rglob("*.py")) + [ROOT / "main.py"]

# Imports go from a row to rows below it, or stay in the folder.
RANKS = [
    {"main"},
    {"simsearch.commands"},
    {"simsearch.serve"},
    {"simsearch.index"},
    {"simsearch.plots"},
    {"simsearch.training", "simsearch.retrieval"},
    {"simsearch.sweeps"},
    {
        "simsearch.wiring",
        "simsearch.preprocessing",
        "simsearch.checkpoints",
        "simsearch.runs",
        "simsearch.hardware",
    },
    {"simsearch.losses", "simsearch.models", "simsearch.data", "simsearch.parallel"},
    {"simsearch.config", "simsearch.keys", "simsearch.progress", "simsearch.hub_access"},
    {"simsearch.monitors"},
    {
        "simsearch.allocator",
        "simsearch.cores",
        "simsearch.errors",
        "simsearch.tables",
        "simsearch.whole_files",
        "simsearch.wording",
    },
]
DOORS = {
    "tensorflow": [
        "simsearch/data/augmentation/augment.py",
        "simsearch/data/augmentation/erasing.py",
        "simsearch/data/augmentation/image_ops.py",
        "simsearch/data/pipeline.py",
        "simsearch/data/augmentation/policies.py",
    ],
    "tensorflow_datasets": ["simsearch/data/sources/tensorflow_sets.py"],
    "datasets": ["simsearch/data/sources/hub.py"],
    "orbax": ["simsearch/checkpoints.py"],
    "optax": ["simsearch/training/optimizer.py"],
    "matplotlib": ["simsearch/plots/"],
    "sklearn": [
        "simsearch/data/sources/digits.py",
        "simsearch/retrieval/calibration.py",
        "simsearch/retrieval/metrics/clustering.py",
        "simsearch/plots/embedding_map.py",
    ],
    "PIL": ["simsearch/data/decoding/images.py", "simsearch/data/decoding/smaller_images.py"],
    "lancedb": ["simsearch/index/lance/engine.py"],
    "pymilvus": ["simsearch/index/milvus/server.py"],
    "tensorboardX": ["simsearch/training/records.py"],
    "fastapi": ["simsearch/serve/"],
    "starlette": ["simsearch/serve/"],
    "pydantic": ["simsearch/serve/"],
    "uvicorn": ["simsearch/serve/server.py"],
    "prometheus_client": ["simsearch/serve/metrics.py"],
    "absl": ["main.py"],
    "optuna": ["simsearch/sweeps/"],
    "sqlalchemy": ["simsearch/sweeps/database.py"],
    "ml_collections": ["simsearch/config/files.py"],
    "tqdm": ["simsearch/progress.py"],
    "huggingface_hub": ["simsearch/data/sources/hub.py", "simsearch/models/pretrained.py"],
}


def imports(path):
    """Yields every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a thing is"
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def place(module):
    """Returns the row of a module, None for one from outside."""
    for rank, row in enumerate(RANKS):
        if any(module == name or module.startswith(f"{name}.") for name in row):
            return rank
    return None


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def room(module):
    return ".".join(module.split(".")[:2])


def test_every_file_has_a_row():
    lost = [str(path) for path in FILES if place(module_of(path)) is None]
    assert lost == [str(ROOT / "simsearch/__init__.py")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    own = module_of(path)
    if own == "simsearch":
        return
    for module in imports(path):
        rank = place(module)
        if rank is None or room(module) == room(own):
            continue
        assert rank >= place(own), f"{own} imports {module}, which stands above it"
    others = {room(module) for module in imports(path)} - {room(own)}
    if room(own) == "simsearch.training":
        assert "simsearch.retrieval" not in others
    if room(own) in ("simsearch.training", "simsearch.retrieval"):
        assert "simsearch.sweeps" not in others, "a version does not know what tried it"
    if room(own) in ("simsearch.losses", "simsearch.models", "simsearch.data"):
        assert "simsearch.config" not in others, "it takes plain arguments"


@pytest.mark.parametrize("library", DOORS)
def test_a_big_library_has_one_door(library):
    for path in FILES:
        name = str(path.relative_to(ROOT))
        if any(module.split(".")[0] == library for module in imports(path)):
            assert any(name.startswith(door) for door in DOORS[library]), name


def words(path):
    return {
        getattr(node, "attr", None) or getattr(node, "id", None)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute | ast.Name)
    }


def test_pmap_is_said_in_one_file_and_nothing_is_printed_outside_main():
    for path in FILES:
        if path.name != "parallel.py":
            assert "pmap" not in words(path), path
        if path.name != "main.py":
            assert "print" not in words(path), path
        assert not any(isinstance(n, ast.Assert) for n in ast.walk(ast.parse(path.read_text())))


def test_files_and_functions_are_short():
    assert len((ROOT / "main.py").read_text().splitlines()) <= 150
    for path in FILES:
        text = path.read_text()
        assert len(text.splitlines()) <= 330, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = node.end_lineno - body[0].lineno if body else 0
                assert length <= 60, f"{path}: {node.name} has {length} lines"


def test_every_public_thing_says_what_it_is():
    for path in FILES:
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), path
        for node in tree.body:
            is_public = not getattr(node, "name", "_").startswith("_")
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and is_public:
                assert ast.get_docstring(node), f"{path}: {node.name}"


def test_an_import_sets_nothing_of_another_library():
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            assert not any(isinstance(target, ast.Attribute) for target in targets), path


def test_importing_the_package_is_light():
    code = (
        "import sys, simsearch\n"
        "heavy = 'tensorflow', 'tensorflow_datasets', 'datasets', 'matplotlib', 'jax', 'orbax'\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "print(callable(simsearch.train), simsearch.Embedder.__name__, 'train' in dir(simsearch))\n"
        "print([name for name in heavy[:3] if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert answer.stdout.splitlines() == ["[]", "True Embedder True", "[]"], answer.stderr
