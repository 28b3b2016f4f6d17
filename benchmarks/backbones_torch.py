"""The side of PyTorch in backbones.py: torchvision's model, `channels_last`, the same work."""

import importlib
import json
import os
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch

# Where torchvision's compiled operators do not load beside a CPU-only torch, a module that declares
# them first, by name.
if shim := os.environ.get("TORCHVISION_SHIM"):
    importlib.import_module(shim)
import torchvision

VERSION = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Network(torch.nn.Module):
    """Pixels to L2-normalised embeddings, as the other side has it."""

    def __init__(self, backbone: str, embedding_size: int, image_size: int) -> None:
        super().__init__()
        # The other side has no stochastic depth; it would leave out a part of the work at random.
        options = {"stochastic_depth_prob": 0.0} if "efficientnet" in backbone else {}
        model = getattr(torchvision.models, backbone)(**options)
        setattr(model, "fc" if hasattr(model, "fc") else "classifier", torch.nn.Identity())
        with torch.inference_mode():
            size = model.eval()(torch.zeros(1, 3, image_size, image_size)).shape[1]
        self.backbone, self.head = model, torch.nn.Linear(size, embedding_size)
        statistics = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        for name, values in zip(("mean", "std"), statistics, strict=True):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns the embeddings [B, D] of images, uint8 [B, 3, S, S]."""
        pixels = (images.float() / 255 - self.mean) / self.std
        return torch.nn.functional.normalize(self.head(self.backbone(pixels)).float())


def create(
    backbone: str, *, mode: str, images: np.ndarray, settings: dict
) -> tuple[Callable[[int], None], float]:
    """Returns a function that runs so many calls to their end, and the seconds of the first call.

    Args:
        backbone: Name of it.
        mode: "eval", "train" or "frozen": trained with BatchNorm's running statistics.
        images: uint8 [B, S, S, 3].
        settings: As the command line's.
    """
    network = Network(backbone, settings["embedding_size"], images.shape[1])
    network = network.to(DEVICE, memory_format=torch.channels_last).train(mode != "eval")
    if mode == "frozen":
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    tensor = tensor.to(DEVICE, memory_format=torch.channels_last)
    compute = torch.compile(network) if settings["compile"] else network
    autocast = torch.autocast(DEVICE, torch.bfloat16, enabled=settings["dtype"] == "bfloat16")
    step = _evaluation(compute, tensor, autocast)
    if mode != "eval":
        step = _training(network, compute, tensor, autocast, settings)

    def run(count: int) -> None:
        for _ in range(count):
            step()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    start = time.perf_counter()
    run(1)
    return run, time.perf_counter() - start


def _evaluation(compute, tensor, autocast):
    def step() -> None:
        with torch.inference_mode(), autocast:
            compute(tensor)

    return step


def _training(network, compute, tensor, autocast, settings):
    optimizer = torch.optim.AdamW(
        network.parameters(), settings["learning_rate"], weight_decay=settings["weight_decay"]
    )
    labels = torch.arange(len(tensor), device=DEVICE) // settings["samples_per_class"]

    def step() -> None:
        with autocast:
            embeddings = compute(tensor)
        optimizer.zero_grad()
        triplet_loss(embeddings, labels, settings["margin"]).backward()
        optimizer.step()

    return step


def triplet_loss(embeddings: torch.Tensor, labels: torch.Tensor, margin: float) -> torch.Tensor:
    """Returns the mean hinge over all triplets of a batch, on squared distances."""
    distances = 2 - 2 * embeddings @ embeddings.T
    same = labels[:, None] == labels
    positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=DEVICE)
    triplets = positive[:, :, None] & ~same[:, None, :]
    violation = distances[:, :, None] - distances[:, None, :] + margin
    return (violation.clamp(min=0) * triplets).sum() / triplets.sum()


def peak_device_bytes() -> int | None:
    """Returns the most memory of the GPU that was in use; None on a CPU."""
    return torch.cuda.max_memory_allocated() if DEVICE == "cuda" else None


def device_name() -> str:
    """Returns what computes."""
    return torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu"


def device_intervals(run: Callable[[int], None], count: int) -> list[tuple[float, float]]:
    """Returns start and end, in microseconds, of each piece of work of the GPU in so many calls."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        run(count)
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        profiler.export_chrome_trace(file.name)
        events = json.load(file)["traceEvents"]
    kinds = ("kernel", "gpu_memcpy", "gpu_memset")
    return [(e["ts"], e["ts"] + e["dur"]) for e in events if e.get("cat") in kinds]
