"""A run of a minute or two on two CPU cores: scikit-learn's handwritten digits, no download."""

from ml_collections import config_dict

from configs import train


def get_config() -> config_dict.ConfigDict:
    """Returns the demonstration's configuration."""
    config = train.get_config()

    config.data.source = "digits"
    config.data.image_size = 32
    config.data.resize_size = 36
    config.data.resize_mode = "squash"
    config.data.cache = "ram"

    config.augment.preset = "light"
    # A mirrored digit is another digit.
    config.augment.horizontal_flip = 0.0
    config.augment.crop_scale_min = 0.6
    config.augment.saturation = 0.0
    config.augment.rotation_degrees = 15.0

    config.model.backbone = "resnet18"
    config.model.weights = "none"
    config.model.embedding_size = 64

    # From random weights the backbone learns as fast as the head, and too short for an average.
    config.optimizer.learning_rate = 1e-3
    config.optimizer.backbone_multiplier = 1.0
    config.train.ema_decay = 0.0
    config.train.batch_size = 80
    config.train.num_epochs = 16
    config.sampling.samples_per_class = 8

    config.eval.pixel_baseline = True
    return config
