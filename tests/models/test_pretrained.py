import errno
import hashlib
import json
import os
import pathlib
import subprocess
import sys

import flax.traverse_util
import huggingface_hub.errors
import jax
import numpy as np
import pytest
import safetensors.numpy

from simsearch import errors, hub_access, models
from simsearch.models import catalog, pretrained, resnet
from tests import hub_server
from tests.models import random_weights, torch_peer


def create(backbone="resnet18"):
    network = models.create_network(backbone=backbone, embedding_size=4)
    return models.initialise(network, seed=0, image_size=32)


VARIABLES = create()


def load(path):
    weights = pretrained.read_weights(str(path), "resnet18")
    return pretrained.lay_over(VARIABLES, weights, "resnet18"), weights


def state_dict():
    """Returns random weights under torch's names, with the classifier and counters of a file."""
    arrays = {"fc.weight": np.zeros((1000, 512), np.float32), "fc.bias": np.zeros(1000, np.float32)}
    for path, leaf in flax.traverse_util.flatten_dict(VARIABLES).items():
        if path[1] == "backbone":
            name = pretrained.parameter_name(resnet.torch_name, path[2:])
            shape = leaf.shape
            if len(shape) == 4:
                shape = (shape[3], shape[2], shape[0], shape[1])
            arrays[name] = random_weights.array(name, shape)
    arrays["bn1.num_batches_tracked"] = np.zeros((), np.int64)
    return arrays


STATE = state_dict()


def write(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        safetensors.numpy.save_file(arrays, path)
    return str(path)


def assert_loaded(variables):
    conv1 = variables["params"]["backbone"]["stem_conv"]["kernel"]
    np.testing.assert_array_equal(conv1, STATE["conv1.weight"].transpose(2, 3, 1, 0))
    norm = variables["batch_stats"]["backbone"]["stage4_block1"]["norm2"]
    np.testing.assert_array_equal(norm["var"], STATE["layer4.1.bn2.running_var"])
    jax.tree.map(
        np.testing.assert_array_equal, variables["params"]["head"], VARIABLES["params"]["head"]
    )


@pytest.mark.parametrize("name", ["a.safetensors", "a.npz"])
def test_a_file_is_laid_over_the_backbone_and_not_over_the_head(tmp_path, name):
    path = write(tmp_path / name, STATE)
    variables, weights = load(path)
    assert_loaded(variables)
    assert weights.source == path and len(weights.sha256) == 64
    assert jax.tree.structure(variables) == jax.tree.structure(dict(VARIABLES))


def test_none_leaves_the_variables():
    variables, weights = load("none")
    assert weights.source == "none"
    jax.tree.map(np.testing.assert_array_equal, variables, dict(VARIABLES))


def test_all_that_does_not_fit_is_in_one_message(tmp_path):
    wrong = dict(STATE)
    del wrong["bn1.bias"]
    wrong["conv1.weight"] = np.zeros((64, 3, 3, 3), np.float32)
    foreign = [f"layer9.{i}.conv1.weight" for i in range(21)]
    wrong |= {name: np.zeros((1, 1, 1, 1), np.float32) for name in foreign}
    with pytest.raises(errors.UsageError) as caught:
        load(write(tmp_path / "a.npz", wrong))
    message = str(caught.value)
    assert "; 1 missing: bn1.bias; " in message
    assert "1 of another shape: conv1.weight (3, 3, 3, 64) and not (7, 7, 3, 64); " in message
    assert message.endswith("21 not of this backbone: " + ", ".join(sorted(foreign)[:5]) + ", …")
    assert "\n" not in message


@pytest.mark.parametrize("name", ["a.safetensors", "a.npz", "a.bin", "a.pth"])
def test_a_file_that_is_no_checkpoint_is_one_line(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"no weights at all")
    with pytest.raises(errors.UsageError, match="could not be read|needs PyTorch") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_half_a_file_of_weights_and_a_nameless_array_are_one_line(tmp_path):
    whole = pathlib.Path(write(tmp_path / "whole.npz", STATE)).read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    (tmp_path / "flipped.npz").write_bytes(flipped)
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    for name, words in (
        ("half.npz", "damaged, or cut off"),
        ("flipped.npz", "damaged, or cut off"),
        ("array.npz", "without a name"),
    ):
        with pytest.raises(errors.UsageError, match=words) as caught:
            load(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_numbers_that_numpy_has_not_are_one_line(tmp_path):
    header = b'{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}'
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(errors.UsageError, match="of a kind that NumPy has not"):
        load(path)


def test_an_address_without_a_scheme_is_told():
    with pytest.raises(errors.UsageError, match="HF_ENDPOINT must begin with http"):
        hub_access.answers("hub.example")


def test_a_pickle_in_an_npz_is_not_run(tmp_path):
    np.savez(tmp_path / "a.npz", evil=np.array([{"a": 1}], dtype=object))
    with pytest.raises(errors.UsageError, match="could not be read"):
        load(tmp_path / "a.npz")


@pytest.mark.torch
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {
            "state_dict": {f"module.{name}": a for name, a in state.items()},
            "epoch": 3,
        },
        lambda state: {"model": {f"_orig_mod.{name}": a.half() for name, a in state.items()}},
    ],
)
def test_a_file_of_torch_is_read(tmp_path, wrap):
    torch = torch_peer.load("torch")
    exact = {name: np.round(array * 16) / 16 for name, array in STATE.items()}
    state = {name: torch.from_numpy(np.array(array)) for name, array in exact.items()}
    torch.save(wrap(state), tmp_path / "a.pth")
    variables, weights = load(tmp_path / "a.pth")
    conv1 = variables["params"]["backbone"]["stem_conv"]["kernel"]
    np.testing.assert_array_equal(conv1, exact["conv1.weight"].transpose(2, 3, 1, 0))
    assert conv1.dtype == np.float32 and len(weights.sha256) == 64


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.torch
def test_a_file_of_torch_holds_what_is_trained_and_no_other_kind_of_number(tmp_path):
    torch = torch_peer.load("torch")
    state = {
        name: torch.nn.Parameter(torch.from_numpy(np.asarray(array, np.float32)))
        for name, array in STATE.items()
    }
    torch.save(state | {7: torch.zeros(1)}, tmp_path / "a.pth")
    load(tmp_path / "a.pth")
    for odd in (torch.zeros(2, dtype=torch.complex64), torch.eye(3).to_sparse()):
        torch.save(state | {"odd": odd}, tmp_path / "a.pth")
        with pytest.raises(errors.UsageError, match="arrays that are not plain"):
            load(tmp_path / "a.pth")


@pytest.mark.torch
def test_a_file_of_torch_that_would_run_code_is_refused(tmp_path):
    torch = torch_peer.load("torch")
    torch.save({"conv1.weight": torch.ones(1), "evil": Evil(tmp_path / "ran")}, tmp_path / "a.pt")
    with pytest.raises(errors.UsageError, match="Python objects beside arrays") as caught:
        load(tmp_path / "a.pt")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_torch_is_asked_for_only_for_its_own_files(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "a.pth").write_bytes(b"")
    with pytest.raises(errors.UsageError, match="needs PyTorch: `pip install torch`, or convert"):
        load(tmp_path / "a.pth")
    assert_loaded(load(write(tmp_path / "a.safetensors", STATE))[0])


@pytest.mark.parametrize("spec", ["hf:", "hf:name", "hf:org/name@", "hf:a/b/c", "nowhere.npz", ""])
def test_a_name_that_cannot_be_is_refused_before_anything_is_read(spec):
    with pytest.raises(errors.UsageError, match="model.weights=.* must be"):
        pretrained.check(spec, "resnet18")


def test_weights_that_nothing_describes_are_told_by_their_names(tmp_path):
    known = catalog.find("efficientnet_v2_s")
    for name, expected in (
        ("features.0.0.weight", known.torchvision),
        ("conv_stem.weight", known.preprocessing),
    ):
        path = write(tmp_path / "a.safetensors", {name: np.ones(3, np.float32)})
        assert pretrained.read_weights(path, "efficientnet_v2_s").preprocessing == expected
    assert known.preprocessing.same_padding and not known.torchvision.same_padding


def test_every_backbone_has_an_imagenet_checkpoint():
    for backbone in models.BACKBONES:
        assert catalog.find(backbone).imagenet.startswith("timm/")


CLIENT = """
import json, sys
from simsearch import errors
from simsearch.models import catalog, pretrained, resnet
spec, cache = sys.argv[1:]
try:
    weights = pretrained.read_weights(spec, "resnet18", cache_dir=cache)
    images = weights.preprocessing
    print(json.dumps([sorted(weights.arrays)[:2], weights.source, weights.sha256, images]))
except (errors.UsageError, errors.RunError) as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


def ask(spec, cache, endpoint):
    """Returns what the real client gets in a process of its own: it reads its endpoint once."""
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache)}
    environment["HF_HUB_DISABLE_XET"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, spec, str(cache)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.stderr == "", done.stderr
    return json.loads(done.stdout)


def test_the_hub_client_fetches_once_and_needs_no_hub_after(tmp_path):
    content = safetensors.numpy.save({"conv1.weight": np.ones(3, np.float32)})
    described = {"pretrained_cfg": {"input_size": [3, 96, 96], "mean": [0.5, 0.5, 0.5]}}
    repositories = [
        hub_server.Repository(
            "models", "timm/resnet18.tv_in1k", {"main": {"model.safetensors": content}}
        ),
        hub_server.Repository(
            "models",
            "org/own",
            {
                "main": {},
                "v2": {
                    "model.safetensors": content,
                    "config.json": json.dumps(described).encode(),
                },
            },
        ),
    ]
    usual = catalog.find("resnet18").preprocessing
    with hub_server.serve(repositories) as hub:
        names, source, sha256, images = ask("imagenet", tmp_path, hub.url)
        assert names == ["conv1.weight"] and tuple(map(tuple, images[:2])) == usual[:2]
        assert source == f"hf:timm/resnet18.tv_in1k@{repositories[0].commit('main')}"
        assert sha256 == hashlib.sha256(content).hexdigest()
        kind, message = ask("hf:timm/nothing", tmp_path, hub.url)
        assert kind == "UsageError" and "the hub has no timm/nothing" in message
        kind, message = ask("hf:org/own", tmp_path, hub.url)
        assert kind == "UsageError" and "org/own on the hub has no model.safetensors" in message
        _, of_revision, _, own_images = ask("hf:org/own@v2", tmp_path, hub.url)
        assert of_revision == f"hf:org/own@{repositories[1].commit('v2')}"
        assert own_images[0] == [0.5, 0.5, 0.5] and own_images[2] == 96
        url = hub.url
    assert ask("imagenet", tmp_path, url) == [names, source, sha256, images]
    kind, message = ask("hf:other/one", tmp_path, url)
    assert kind == "RunError" and "--config.model.weights=DIR/model.safetensors" in message
    assert "hf download other/one model.safetensors config.json" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "in CACHE, but: No space left"),
        (PermissionError(errno.EACCES, "Permission denied"), "in CACHE, but: Permission denied"),
        (ConnectionError("reset by peer"), "cannot be reached"),
        (huggingface_hub.errors.HTTPError("closed too early"), "cannot be reached"),
    ],
)
def test_a_full_disk_is_not_taken_for_a_missing_network(failure, words, monkeypatch):
    def download(*_, **__):
        raise failure

    monkeypatch.setattr(hub_access, "answers", lambda _: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(errors.RunError, match=words) as caught:
        pretrained.read_weights("imagenet", "resnet18", cache_dir="CACHE")
    assert ("set data.cache_dir" in str(caught.value)) == ("CACHE" in words)


@pytest.mark.parametrize(
    ("mean", "variance", "is_folded"),
    [(0, 1, True), (0, 1 - 1e-5, True), (0, 0.9, False), (0.1, 1, False)],
)
def test_weights_whose_statistics_are_plain_were_folded(mean, variance, is_folded):
    arrays = {"bn1.running_mean": np.full(3, mean), "bn1.running_var": np.full(3, variance)}
    assert pretrained.has_folded_batch_norm(pretrained.Weights(arrays, "a.npz", "")) == is_folded
    assert not pretrained.has_folded_batch_norm(pretrained.Weights({}, "none", ""))
