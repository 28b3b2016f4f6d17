"""What a family's file says of each of its backbones."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn

# Parts of every trunk after its stem; they end at 1/4, 1/8, 1/16 and 1/32 of the image's side.
NUM_STAGES = 4
# Of ImageNet's training images, RGB in [0, 1]; what most pretrained weights expect.
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)

# From the names of the modules below the backbone to the name of a module in torch.
TorchName = Callable[[tuple[str, ...]], str]


class Preprocessing(NamedTuple):
    """How the images were made that a checkpoint was trained and tested with."""

    image_mean: tuple[float, ...] = IMAGE_MEAN  # of each channel, RGB in [0, 1]
    image_std: tuple[float, ...] = IMAGE_STD
    image_size: int = 224  # pixels, side of the square that the network sees
    crop_ratio: float = 0.875  # that side over what images are resized to before the crop
    resize_mode: str = "short_side"  # or "squash", to a square
    interpolation: str = "bilinear"  # or "bicubic"
    same_padding: bool = False  # whether its convolutions pad as TensorFlow's do


class Backbone(NamedTuple):
    """One backbone.

    Attributes:
        make: Makes the trunk: `make(dtype, axis_name, freeze_batch_norm, num_frozen, name)`, all
            by keyword.
        torch_names: For each layout of a checkpoint, torchvision's first, from the names of a
            module's path to its name there.
        imagenet: The checkpoint that `model.weights=imagenet` takes, ORG/NAME on the hub.
        preprocessing: Of that checkpoint.
        torchvision: Of torchvision's own weights.
        can_pad_same: Whether its trunk takes `same_padding`, to pad as TensorFlow does.
        timm_variance_shift: Added to the running variances of timm's own training, where BatchNorm
            had another epsilon: that one less the module's.
        norm_epsilon: Of its BatchNorms.
    """

    make: Callable[..., nn.Module]
    torch_names: tuple[TorchName, ...]
    imagenet: str
    preprocessing: Preprocessing = Preprocessing()
    torchvision: Preprocessing = Preprocessing()
    can_pad_same: bool = False
    timm_variance_shift: float = 0.0
    norm_epsilon: float = 1e-5
