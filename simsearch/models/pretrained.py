"""Pretrained weights laid over a network's variables: from the hub, or from a file."""

import hashlib
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.traverse_util
import jax.numpy as jnp
import numpy as np

from simsearch import errors, hub_access
from simsearch.models import backbone as backbone_lib
from simsearch.models import catalog, weight_files

_HUB = "hf:"
_FILE = "model.safetensors"
_DESCRIPTION = "config.json"  # timm's, beside the weights
_NUM_TOLD = 5  # Names of each kind of what does not fit.
# What a classifier has and a trunk has not, and torch's counter of BatchNorm steps. MobileNet V3
# has a conv_head after the pooling; where it is in the trunk it is taken, so not dropped.
_DROPPED = re.compile(r"^(fc|classifier|head|conv_head)\.|\.num_batches_tracked$")


class Weights(NamedTuple):
    """A checkpoint's arrays and where they come from."""

    arrays: dict[str, np.ndarray]  # by torch's names
    source: str  # hf:ORG/NAME@COMMIT or an absolute path
    sha256: str  # hex, of the file
    preprocessing: backbone_lib.Preprocessing = backbone_lib.Preprocessing()


def read_weights(spec: str, backbone: str, *, cache_dir: str | None = None) -> Weights:
    """Returns a checkpoint's arrays.

    Args:
        spec: "imagenet" is the backbone's own checkpoint on the hub; "hf:ORG/NAME[@REVISION]"
            another of the hub; "none" no array at all; else a file: .safetensors, .npz, or torch's
            .pth, .pt.
        backbone: Name of the backbone.
        cache_dir: Where checkpoints of the hub are kept; None: the hub client's own folder.

    Raises:
        UsageError: Where the file is not there or is no checkpoint.
        RunError: Where the hub cannot be reached and nothing is cached, or it cannot be stored.
    """
    check(spec, backbone)
    if spec == "none":
        return Weights({}, "none", "")
    known = catalog.find(backbone)
    repository = known.imagenet if spec == "imagenet" else spec.removeprefix(_HUB)
    if is_file(spec):
        path = pathlib.Path(spec).expanduser().resolve()
        source = str(path)
    else:
        path, source = _download(repository, cache_dir)
    try:
        arrays = weight_files.read(path)
    except errors.UsageError:
        raise
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise errors.UsageError(
            f"model.weights={spec} could not be read as weights: {errors.one_line(error, most=200)}"
        ) from error
    if repository == known.imagenet:
        preprocessing = known.preprocessing
    else:
        described = read_preprocessing(path.with_name(_DESCRIPTION))
        preprocessing = described or _by_layout(arrays, known)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Weights(arrays, source, sha256, preprocessing)


def has_folded_batch_norm(weights: Weights) -> bool:
    """Returns whether every running mean is 0 and every variance about 1: it was folded away.

    A variance may be 1 less the epsilon that is added to it. Such a network computes the same with
    BatchNorm's statistics as they are, and another thing with those of a batch.
    """
    arrays = weights.arrays
    means = [array for name, array in arrays.items() if name.endswith(".running_mean")]
    variances = [array for name, array in arrays.items() if name.endswith(".running_var")]
    are_plain = all(not array.any() for array in means) and all(
        np.allclose(array, 1, rtol=0, atol=2e-3) for array in variances
    )
    return bool(means and variances) and are_plain


def is_file(spec: str) -> bool:
    """Returns whether `model.weights` names a file, there or not."""
    return spec not in ("imagenet", "none") and not spec.startswith(_HUB)


def check(spec: str, backbone: str) -> None:
    """Raises UsageError where a backbone's name or the way weights are named is wrong.

    Args:
        spec: As of `read_weights`.
        backbone: Name of the backbone.
    """
    catalog.find(backbone)
    if spec.startswith(_HUB):
        if not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", spec.removeprefix(_HUB)):
            raise errors.UsageError(
                f"model.weights={spec} must be hf:ORG/NAME or hf:ORG/NAME@REVISION"
            )
    elif is_file(spec) and not pathlib.Path(spec).expanduser().is_file():
        raise errors.UsageError(
            f"model.weights={spec} must be imagenet, none, hf:ORG/NAME[@REVISION] or a file, "
            "and there is no such file"
        )


def read_preprocessing(path: pathlib.Path) -> backbone_lib.Preprocessing | None:
    """Returns what timm's description of a checkpoint says; None where there is none to use."""
    usual = backbone_lib.Preprocessing()
    try:
        described = json.loads(path.read_text())
        facts = described.get("pretrained_cfg", described)  # Older files have them at the top.
        interpolation = facts.get("interpolation", usual.interpolation)
        crop_ratio = float(facts.get("test_crop_pct") or facts.get("crop_pct", usual.crop_ratio))
        if not 0 < crop_ratio <= 1:
            return None
        return backbone_lib.Preprocessing(
            image_mean=tuple(map(float, facts.get("mean", usual.image_mean))),
            image_std=tuple(map(float, facts.get("std", usual.image_std))),
            image_size=int((facts.get("test_input_size") or facts["input_size"])[-1]),
            crop_ratio=crop_ratio,
            resize_mode="squash" if facts.get("crop_mode") == "squash" else usual.resize_mode,
            interpolation="bicubic" if interpolation == "bicubic" else usual.interpolation,
            # timm's word for weights that come from TensorFlow.
            same_padding=described.get("architecture", "").startswith("tf_"),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _by_layout(
    arrays: Mapping[str, np.ndarray], known: backbone_lib.Backbone
) -> backbone_lib.Preprocessing:
    """Returns how images are made ready for weights that nothing describes: told by their names."""
    torchvision, *timm = (f"{name(('stem_conv',))}.weight" for name in known.torch_names)
    is_timm = torchvision not in arrays and any(name in arrays for name in timm)
    return known.preprocessing if is_timm else known.torchvision


def _download(repository: str, cache_dir: str | None) -> tuple[pathlib.Path, str]:
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub import errors as hub_errors

    name, _, revision = repository.partition("@")
    endpoint = constants.ENDPOINT
    options = {
        "cache_dir": cache_dir,
        # Else the client retries for half a minute, and says so each time.
        "local_files_only": not hub_access.answers(endpoint),
    }
    try:
        path = huggingface_hub.hf_hub_download(name, _FILE, revision=revision or None, **options)
    except (hub_errors.RepositoryNotFoundError, hub_errors.RevisionNotFoundError) as error:
        raise errors.UsageError(
            f"model.weights: the hub has no {repository} that is open to you; check the name and "
            "the revision, or log in with `hf auth login`"
        ) from error
    except hub_errors.RemoteEntryNotFoundError as error:
        raise errors.UsageError(
            f"model.weights: {repository} on the hub has no {_FILE}; name a repository that has one"
        ) from error
    except (hub_errors.LocalEntryNotFoundError, hub_errors.HTTPError, ConnectionError) as error:
        raise errors.RunError(
            f"{_FILE} of {repository} is not cached and {endpoint} cannot be reached; where there "
            f"is a network, run `hf download {name} {_FILE} {_DESCRIPTION} --local-dir DIR`, and "
            f"pass it here as --config.model.weights=DIR/{_FILE}; or train from scratch with "
            "--config.model.weights=none"
        ) from error
    except OSError as error:
        raise errors.RunError(
            f"expected to store {_FILE} of {repository} in {cache_dir or constants.HF_HUB_CACHE}, "
            f"but: {error.strerror or errors.one_line(error)}; check the folder and the free "
            "space, or set data.cache_dir"
        ) from error
    # The hub's client keeps a file under snapshots/COMMIT/.
    commit = pathlib.Path(path).parent.name
    try:
        huggingface_hub.hf_hub_download(name, _DESCRIPTION, revision=commit, **options)
    except (hub_errors.EntryNotFoundError, hub_errors.HTTPError, OSError):
        pass  # Weights without a description are weights all the same.
    return pathlib.Path(path), f"hf:{name}@{commit}"


def parameter_name(torch_name: backbone_lib.TorchName, path: tuple[str, ...]) -> str:
    """Returns the name in a torch state dictionary, such as "layer1.0.bn2.running_var".

    Args:
        torch_name: One layout's names of modules.
        path: Names from the backbone down to the array, in `params` or `batch_stats`.
    """
    return f"{torch_name(path[:-1])}.{_LEAVES[path[-1]]}"


def lay_over(variables: Mapping[str, Any], weights: Weights, backbone: str) -> dict[str, Any]:
    """Returns the variables with the backbone's taken from a checkpoint, of the same shapes.

    Args:
        variables: A network's `params` and `batch_stats`, or their shapes.
        weights: As `read_weights` returns them; those of "none" leave everything as it is.
        backbone: Name of the backbone.

    Raises:
        UsageError: Where they are not of this backbone; names the first of what does not fit.
    """
    if weights.source == "none":
        return dict(variables)
    flat = flax.traverse_util.flatten_dict(dict(variables))
    own = [path for path in flat if path[1] == "backbone"]
    names, shift = _names(own, weights, catalog.find(backbone))
    unused = {name for name in weights.arrays if not _DROPPED.search(name)} - set(names.values())
    problems: dict[str, list[str]] = {"missing": [], "of another shape": []}
    for path, name in names.items():
        if name not in weights.arrays:
            problems["missing"].append(name)
            continue
        leaf = flat[path]
        array = _from_torch(weights.arrays[name], leaf.ndim)
        if array.shape != leaf.shape:
            problems["of another shape"].append(f"{name} {array.shape} and not {leaf.shape}")
            continue
        flat[path] = jnp.asarray(array + shift if path[-1] == "var" else array, leaf.dtype)
    problems["not of this backbone"] = sorted(unused)
    if any(problems.values()):
        told = [
            f"{len(all_)} {kind}: {', '.join(all_[:_NUM_TOLD])}{', …' * (len(all_) > _NUM_TOLD)}"
            for kind, all_ in problems.items()
            if all_
        ]
        raise errors.UsageError(
            f"{weights.source} does not fit model.backbone={backbone}, which must be the network "
            f"that these weights are of; {'; '.join(told)}"
        )
    return flax.traverse_util.unflatten_dict(flat)


def _names(
    paths: list[tuple[str, ...]], weights: Weights, known: backbone_lib.Backbone
) -> tuple[dict[tuple[str, ...], str], float]:
    """Returns the checkpoint's name of each array, and what to add to its running variances."""
    layouts = [
        {path: parameter_name(torch_name, path[2:]) for path in paths}
        for torch_name in known.torch_names
    ]
    hits = [sum(name in weights.arrays for name in names.values()) for names in layouts]
    chosen = hits.index(max(hits))
    own_training = chosen > 0 and not weights.preprocessing.same_padding
    return layouts[chosen], known.timm_variance_shift if own_training else 0.0


_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def _from_torch(array: np.ndarray, ndim: int) -> np.ndarray:
    """Returns a kernel as [H, W, I, O], or [I, O] of a dense layer, from torch's [O, I, H, W]."""
    if array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)
        return array[0, 0] if ndim == 2 and array.shape[:2] == (1, 1) else array
    return array.T if array.ndim == 2 else array
