"""Fields of a run of seconds on a folder of small images."""

FIELDS = {
    "data.source": "folder",
    "data.image_size": 24,
    "data.resize_size": 28,
    "data.resize_mode": "squash",
    "model.backbone": "resnet18",
    "model.weights": "none",
    "model.embedding_size": 16,
    "train.batch_size": 12,
    "train.num_steps": 2,
    "eval.num_bootstrap": 50,
}
