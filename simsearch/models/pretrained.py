"""Pretrained weights laid over a network's variables: from the hub, or from a file."""

import hashlib
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.traverse_util
import jax.numpy as jnp
import numpy as np

from simsearch import errors, hub_access
from simsearch.models import resnet

_FILE = "model.safetensors"
# ImageNet checkpoints by the name that `model.weights=imagenet` takes, as ORG/NAME of the hub.
IMAGENET = {
    "resnet18": "timm/resnet18.tv_in1k",
    "resnet34": "timm/resnet34.tv_in1k",
    "resnet50": "timm/resnet50.tv2_in1k",
    "resnet101": "timm/resnet101.tv2_in1k",
    "resnet152": "timm/resnet152.tv2_in1k",
    "resnext50_32x4d": "timm/resnext50_32x4d.tv2_in1k",
    "wide_resnet50_2": "timm/wide_resnet50_2.tv2_in1k",
}
_TORCH_NAMES: dict[str, Callable[[tuple[str, ...]], str]] = dict.fromkeys(
    resnet.BACKBONES, resnet.torch_name
)
# What a classifier has and a trunk has not, and torch's counter of BatchNorm steps.
_DROPPED = re.compile(r"^(fc|classifier|head)\.|\.num_batches_tracked$")


class Weights(NamedTuple):
    """A checkpoint's arrays and where they come from."""

    arrays: dict[str, np.ndarray]  # by torch's names
    source: str  # hf:ORG/NAME@COMMIT or an absolute path
    sha256: str  # hex, of the file


def read_weights(spec: str, backbone: str, *, cache_dir: str | None = None) -> Weights:
    """Returns a checkpoint's arrays.

    Args:
        spec: "imagenet" is the hub's checkpoint of `IMAGENET`; "hf:ORG/NAME[@REVISION]" another of
            the hub; "none" no array at all; else a file: .safetensors, .npz, or torch's .pth, .pt.
        backbone: Name of the backbone.
        cache_dir: Where checkpoints of the hub are kept; None: the hub client's own folder.

    Raises:
        UsageError: Where the file is not there or is no checkpoint.
        RunError: Where the hub cannot be reached and nothing is cached.
    """
    if spec == "none":
        return Weights({}, "none", "")
    if spec == "imagenet" or spec.startswith("hf:"):
        repository = IMAGENET[backbone] if spec == "imagenet" else spec.removeprefix("hf:")
        path, source = _download(repository, cache_dir)
    else:
        path = pathlib.Path(spec).expanduser().resolve()
        source = str(path)
        if not path.is_file():
            raise errors.UsageError(
                f"model.weights={spec} must be imagenet, none, hf:ORG/NAME[@REVISION] or a file, "
                "and there is no such file"
            )
    try:
        arrays = _read(path)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise errors.UsageError(
            f"model.weights={spec}: {path} could not be read as weights: {_one_line(error)}"
        ) from error
    return Weights(arrays, source, hashlib.sha256(path.read_bytes()).hexdigest())


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
    if path.suffix == ".safetensors":
        import safetensors
        import safetensors.numpy

        try:
            return safetensors.numpy.load_file(path)
        except safetensors.SafetensorError as error:
            raise ValueError(str(error)) from error
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    if path.suffix in (".pth", ".pt"):
        return _read_torch(path)
    raise ValueError(f"{path.suffix or 'no suffix'} is none of .safetensors, .npz, .pth, .pt")


def _read_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError as error:
        raise errors.UsageError(
            f"reading {path} needs PyTorch: `pip install torch`, or convert it to .safetensors"
        ) from error
    try:
        # Arrays alone: a checkpoint must not be able to run code.
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(_one_line(error)) from error
    return {name: array.float().numpy() for name, array in stored.items()}


def _download(repository: str, cache_dir: str | None) -> tuple[pathlib.Path, str]:
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub import errors as hub_errors

    name, _, revision = repository.partition("@")
    endpoint = constants.ENDPOINT
    try:
        path = huggingface_hub.hf_hub_download(
            name,
            _FILE,
            revision=revision or None,
            cache_dir=cache_dir,
            # Else the client retries for half a minute, and says so each time.
            local_files_only=not hub_access.answers(endpoint),
        )
    except (hub_errors.RepositoryNotFoundError, hub_errors.RevisionNotFoundError) as error:
        raise errors.UsageError(
            f"model.weights: the hub has no {repository}; check the name and the revision"
        ) from error
    except hub_errors.RemoteEntryNotFoundError as error:
        raise errors.UsageError(
            f"model.weights: {repository} on the hub has no {_FILE}; name a repository that has one"
        ) from error
    except (hub_errors.LocalEntryNotFoundError, hub_errors.HfHubHTTPError, OSError) as error:
        raise errors.RunError(
            f"{_FILE} of {repository} is not cached and {endpoint} cannot be reached; get the file "
            "where there is a network and pass it as --config.model.weights=FILE, or train from "
            "scratch with --config.model.weights=none"
        ) from error
    # The hub's client keeps a file under snapshots/COMMIT/.
    return pathlib.Path(path), f"hf:{name}@{pathlib.Path(path).parent.name}"


def torch_parameter_name(backbone: str, path: tuple[str, ...]) -> str:
    """Returns the name in a torch state dictionary, such as "layer1.0.bn2.running_var".

    Args:
        backbone: Name of the backbone.
        path: Names from the backbone down to the array, in `params` or `batch_stats`.
    """
    return f"{_TORCH_NAMES[backbone](path[:-1])}.{_LEAVES[path[-1]]}"


def lay_over(variables: Mapping[str, Any], weights: Weights, backbone: str) -> dict[str, Any]:
    """Returns the variables with the backbone's taken from a checkpoint, of the same shapes.

    Args:
        variables: A network's `params` and `batch_stats`.
        weights: As `read_weights` returns them; those of "none" leave everything as it is.
        backbone: Name of the backbone.

    Raises:
        UsageError: Where they are not of this backbone; all that does not fit is in the message.
    """
    if weights.source == "none":
        return dict(variables)
    flat = flax.traverse_util.flatten_dict(dict(variables))
    unused = {name for name in weights.arrays if not _DROPPED.search(name)}
    problems, loaded = [], {}
    for path, leaf in flat.items():
        loaded[path] = leaf
        if path[1] != "backbone":
            continue
        name = torch_parameter_name(backbone, path[2:])
        unused.discard(name)
        if name not in weights.arrays:
            problems.append(f"{name} is missing")
            continue
        array = _from_torch(weights.arrays[name])
        if array.shape != leaf.shape:
            problems.append(f"{name} has shape {array.shape}, not {leaf.shape}")
            continue
        loaded[path] = jnp.asarray(array, leaf.dtype)
    problems += [f"{name} is not of this backbone" for name in sorted(unused)]
    if problems:
        more = f" and {len(problems) - 12} more" if len(problems) > 12 else ""
        raise errors.UsageError(
            f"{weights.source} does not fit model.backbone={backbone}: "
            f"{'; '.join(problems[:12])}{more}"
        )
    return flax.traverse_util.unflatten_dict(loaded)


_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def _from_torch(array: np.ndarray) -> np.ndarray:
    """Returns a convolution's kernel as [H, W, I, O] from torch's [O, I, H, W]; others as is."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
