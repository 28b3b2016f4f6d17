"""The default recipe for two CPU cores: MobileNetV2, few pixels in training, first stages frozen.

python main.py --config snacks_cpu
"""

from ml_collections import config_dict

from configs import train


def get_config() -> config_dict.ConfigDict:
    """Returns the default configuration with what a CPU needs otherwise."""
    config = train.get_config()

    config.data.image_size = 288
    config.data.resize_size = 288
    config.data.resize_mode = "both"
    config.data.train_image_size = 192
    config.data.cache = "disk"

    config.model.backbone = "mobilenet_v2"
    config.model.freeze = "2"
    config.model.freeze_batch_norm = True
    config.model.mirror = True

    config.train.batch_size = 80
    config.train.num_epochs = 24
    config.train.eval_every_epochs = 12
    return config
