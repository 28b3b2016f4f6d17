"""Every field of a run, with its unit or range: the Snacks images, ResNet-50, three losses.

This is the one list of fields; the other files here import it and override. Override a field on
the command line with `--config.group.field=value`.
"""

from ml_collections import config_dict


def get_config() -> config_dict.ConfigDict:
    """Returns the default configuration."""
    config = config_dict.ConfigDict()

    config.data = data = config_dict.ConfigDict()
    # folder | digits | hf:ORG/NAME[:CONFIGURATION][@REVISION] | tfds:NAME
    data.source = "hf:Matthijs/snacks"
    data.path = ""  # folder of class folders, or of train/val/test folders of them (source=folder)
    data.image_column = ""  # column of an hf: or tfds: set; empty: found by its type
    data.label_column = ""  # column of an hf: or tfds: set; empty: found by its type
    data.valid_fraction = 0.1  # of each class's train images, where there is no validation split
    data.test_fraction = 0.1  # likewise, where there is no test split; digits: always a fifth
    data.split = "image"  # image | class: validate and test on classes that were never trained on
    data.valid_class_fraction = 0.15  # (0, 1), of the classes, two at least (split=class)
    data.test_class_fraction = 0.25  # (0, 1), of the classes, two at least (split=class)
    data.valid_classes = ""  # names, comma between, in place of that fraction (split=class)
    data.test_classes = ""  # names, comma between, in place of that fraction (split=class)
    data.split_seed = 0  # integer >= 0; which images or classes those fractions take
    data.drop_duplicates = True  # whether a train image that is also held out, byte by byte, goes
    # How images are made ready belongs to the weights: what is open here is theirs, or where they
    # say nothing, ImageNet's usual (224 pixels from 256).
    data.image_size = 0  # pixels >= 8, side of the square that the network sees; 0: the weights'
    data.resize_size = 0  # pixels, (shorter) side before the crop; 0: by the weights' crop ratio
    # Pixels >= 8, side of the square in training; 0: image_size. A random crop shows things larger
    # than the centre crop does, so fewer pixels (160 for 224) are not only faster, they match.
    data.train_image_size = 0
    # Progressive resizing: the first steps see fewer pixels, which costs quality little.
    data.early_image_size = 0  # pixels >= 8, side of the square in those steps; 0: as in the others
    data.early_share = 0.5  # (0, 1) of the steps
    # squash (to a square) | short_side (aspect ratio kept) | auto | both (an embedding is the mean
    # of the two, at twice the work; training squashes, and crops at random)
    data.resize_mode = "auto"
    data.interpolation = "auto"  # bilinear | bicubic | auto
    data.image_mean = ()  # three numbers in [0, 1], of red, green, blue in [0, 1]; (): the weights'
    data.image_std = ()  # three numbers in (0, 1], likewise; (): the weights'
    data.max_pixels = 100_000_000  # pixels; a larger image counts as corrupt and is not decoded
    data.cache = "none"  # none | ram | disk: where resized, not yet augmented images are kept
    # Folder of downloads, of the disk cache, of compiled programs and of what is known of
    # duplicates; empty: ~/.cache/simsearch
    data.cache_dir = ""
    data.on_corrupt = "skip"  # skip (named and counted at the end) | fail
    data.num_threads = 0  # threads that decode images for evaluation; 0: one for each CPU core
    data.prefetch_batches = 2  # batches >= 1 made ready ahead of the device

    config.sampling = sampling = config_dict.ConfigDict()
    # classes_by_samples (P x K) | triplets (at random) | class_balanced (every class alike likely)
    # | hard_classes (P x K, those together that the last validation confused)
    sampling.mode = "classes_by_samples"
    sampling.samples_per_class = 4  # images >= 2 of each class in a batch (K); P = batch_size / K
    sampling.seed = -1  # integer >= 0; of the batches and the augmentation; -1: train.seed
    sampling.hard_fraction = 0.5  # [0, 1], share of a batch's classes chosen so (hard_classes)

    config.augment = augment = config_dict.ConfigDict()
    # none | light | trivial | rand | custom (none, to set field by field)
    augment.preset = "trivial"
    # A field that is not set here is the preset's (simsearch/config/augment.py); set, it wins.
    number = config_dict.placeholder
    augment.crop_scale_min = number(float)  # (0, 1], least share of the area a crop keeps; 1: off
    augment.crop_ratio_max = number(float)  # >= 1, widest aspect ratio of a crop, if there is one
    augment.horizontal_flip = number(float)  # [0, 1], probability
    augment.rotation_degrees = number(float)  # [0, 180], largest angle either way
    augment.brightness = number(float)  # [0, 1], largest relative change either way
    augment.contrast = number(float)  # [0, 1], largest relative change either way
    augment.saturation = number(float)  # [0, 1], largest relative change either way
    augment.hue = number(float)  # [0, 0.5], largest shift of the hue circle either way
    # none | trivial (TrivialAugment: magnitude at random) | rand (RandAugment: a fixed magnitude)
    augment.policy = config_dict.placeholder(str)
    # What is not set here is torchvision's: rand a third as strong as its paper's (docs/data.md).
    augment.policy_num_ops = number(int)  # operations >= 0 in a row; 1 (trivial), 2 (rand)
    augment.policy_magnitude = number(int)  # 0 … 30; up to 30 (trivial), always 9 (rand)
    augment.policy_shear = number(float)  # [0, 1], of the side, at magnitude 30; 0.99, 0.3
    augment.policy_translate = number(float)  # [0, 1], of the side, at 30; 32 / 224, 150 / 331
    augment.policy_degrees = number(float)  # [0, 180], rotation at magnitude 30; 135, 30
    augment.policy_enhance = number(float)  # [0, 1], of colour and sharpness, at 30; 0.99, 0.9
    augment.policy_posterize_bits = number(int)  # 0 … 8, lost at magnitude 30; 6, 4
    augment.erase_probability = 0.0  # [0, 1], of a rectangle of noise (random erasing)
    augment.erase_area_min = 0.02  # [0, 1], least share of the image that is erased
    augment.erase_area_max = 0.33  # [0, 1], largest share of the image that is erased
    augment.erase_ratio_max = 3.3  # >= 1, widest aspect ratio of the rectangle
    augment.mixup_alpha = 0.0  # >= 0, of the Beta distribution that images are mixed by; 0: off

    config.model = model = config_dict.ConfigDict()
    model.backbone = "resnet50"  # a name of simsearch.models.BACKBONES
    model.weights = "imagenet"  # imagenet | none | hf:ORG/NAME[@REVISION] | path of a file
    model.embedding_size = 128  # dimensions >= 2
    model.head = "linear"  # linear | mlp | none (the pooled features themselves)
    model.pooling = "average"  # average | max | gem
    # Backbones >= 1 whose features together make one embedding, at as many times the work;
    # `--mode=ensemble` makes a version of several.
    model.num_backbones = 1
    model.freeze = "none"  # none | stem | a number of stages | all: what is not trained
    model.freeze_batch_norm = False  # whether BatchNorm keeps its running statistics in training
    model.padding = "auto"  # of convolutions: torch | tensorflow | auto (the weights')
    model.dtype = "float32"  # float32 | bfloat16: of the backbone; all else is float32
    # Whether Fisher's discriminant of the train images takes the place of the head's last layer
    # after training.
    model.discriminant = True
    # Whether an embedding is the mean of the image's and its mirror image's, at twice the work.
    model.mirror = False

    config.loss = loss = config_dict.ConfigDict()
    loss.terms = terms = config_dict.ConfigDict()  # weights >= 0; 0: off; at least one is not
    terms.triplet = 0.5  # >= 0
    terms.supcon = 1.0  # >= 0, SupCon; with two images of each class NT-Xent
    terms.multi_similarity = 0.0  # >= 0
    terms.circle = 0.0  # >= 0
    terms.proxy_anchor = 0.0  # >= 0, class vectors look at the batch
    terms.arcface = 0.0  # >= 0, classification by angle with a margin
    terms.normalised_softmax = 1.0  # >= 0, classification by cosine

    loss.triplet = triplet = config_dict.ConfigDict()
    # batch_all | batch_hard | semi_hard | distance_weighted | none (the sampler's own triplets)
    triplet.miner = "batch_all"
    triplet.margin = 1.0  # >= 0, in units of the distance; 0 with soft_margin alone
    triplet.distance = "squared_euclidean"  # squared_euclidean [0, 4] | euclidean | cosine [0, 2]
    triplet.soft_margin = False  # softplus(d(a, p) - d(a, n) + margin) in place of the hinge

    loss.supcon = supcon = config_dict.ConfigDict()
    supcon.temperature = 0.1  # > 0; cosines are divided by it

    loss.multi_similarity = multi = config_dict.ConfigDict()
    multi.alpha = 2.0  # > 0, how sharply the least similar positives count most
    multi.beta = 50.0  # > 0, how sharply the most similar negatives count most
    multi.base = 0.5  # [-1, 1], cosine that positives are pulled above, negatives pushed below
    multi.epsilon = 0.1  # >= 0, cosine; pairs this far inside the hardest still count

    loss.circle = circle = config_dict.ConfigDict()
    circle.margin = 0.25  # (0, 1), cosine; positives above 1 - margin, negatives below margin
    circle.scale = 80.0  # > 0

    loss.proxy_anchor = proxy_anchor = config_dict.ConfigDict()
    proxy_anchor.margin = 0.1  # >= 0, cosine; positives above margin, negatives below -margin
    proxy_anchor.scale = 32.0  # > 0

    loss.arcface = arcface = config_dict.ConfigDict()
    arcface.margin = 0.5  # [0, pi / 2), radians that the own class has to make up
    arcface.scale = 30.0  # > 0; cosines are multiplied by it
    arcface.label_smoothing = 0.0  # [0, 1), share of the target spread over all classes

    loss.normalised_softmax = softmax = config_dict.ConfigDict()
    softmax.scale = 16.0  # > 0; cosines are multiplied by it
    softmax.label_smoothing = 0.1  # [0, 1), share of the target spread over all classes

    loss.memory_size = 0  # past images >= 0 that pair losses look at as well (XBM); 0: off
    loss.memory_start_step = 0  # step >= 0 from which they do

    config.optimizer = optimizer = config_dict.ConfigDict()
    optimizer.learning_rate = 2e-3  # > 0, the peak, reached after the warm-up
    optimizer.backbone_multiplier = 0.2  # > 0, the backbone's learning rate over the head's
    optimizer.proxy_multiplier = 1.0  # > 0, the class vectors' learning rate over the network's
    optimizer.weight_decay = 1e-2  # >= 0, decoupled (AdamW), on kernels and class vectors
    optimizer.warmup_epochs = 1.0  # epochs >= 0 of linear warm-up
    optimizer.final_fraction = 0.01  # [0, 1], where the cosine decay ends, of the peak
    optimizer.beta1 = 0.9  # [0, 1), AdamW
    optimizer.beta2 = 0.999  # [0, 1), AdamW
    optimizer.epsilon = 1e-8  # > 0, AdamW
    optimizer.clip_norm = 5.0  # >= 0, global norm of the gradient; 0: off

    config.train = train = config_dict.ConfigDict()
    train.num_epochs = 30  # >= 0; 0 stores the untrained network, for a baseline
    train.num_steps = 0  # >= 0; where it is not 0 it wins over num_epochs
    train.batch_size = 64  # images >= 2 a step, over all devices
    train.num_devices = 0  # >= 0; 0: all local devices
    train.seed = 0  # integer >= 0; of the weights, the batches and the augmentation
    train.accumulate_steps = 1  # batches >= 1 whose mean gradient makes one update
    train.ema_decay = 0.995  # [0, 1), of the averaged weights, which are evaluated and kept; 0: off
    train.log_every_steps = 20  # steps >= 1 between two looks at the device
    train.eval_every_epochs = 1  # epochs >= 1 between two validations
    train.checkpoint_every_steps = 0  # steps >= 0 between more checkpoints; 0: at validations
    # The validation metric that chooses the best checkpoint and decides when to stop early:
    # recall_at_1 | _5 | _10 | precision_at_5 | _10 | mrr | map_at_r | r_precision |
    # classifier_accuracy (needs a loss with class vectors)
    train.monitor = "map_at_r"
    # Validations >= 0 without improvement that end a run early; 0: off. This run has 30 in all, so
    # it takes more epochs, or fewer of these, to see it act.
    train.patience = 30
    train.collapse_spread = 0.01  # [0, 1]; a warning where the embeddings' spread falls below it

    config.eval = evaluation = config_dict.ConfigDict()
    evaluation.batch_size = 64  # images >= 1 embedded at a time
    evaluation.num_neighbors = 20  # train images >= 1 that vote in knn_accuracy
    evaluation.temperature = 0.07  # > 0; a neighbour's vote weighs exp(cosine / temperature)
    evaluation.triplet_margin = 1.0  # > 0, of one_minus_triplet_loss, on squared distances
    evaluation.num_triplets = 100_000  # random triplets >= 1 of it, one at least for each query
    evaluation.num_bootstrap = 1_000  # resamples >= 1 behind each interval
    evaluation.confidence = 0.95  # (0, 1), of the intervals
    evaluation.seed = 0  # integer >= 0; of everything that an evaluation draws at random
    # Pairs >= 1 behind verification, open set and calibration; of more, queries are drawn.
    evaluation.max_pairs = 50_000_000
    evaluation.max_clustered = 20_000  # images >= 2 behind nmi; of more, so many are drawn
    evaluation.open_set_folds = 4  # parts >= 2 of the classes, each held out once
    evaluation.calibration = "isotonic"  # isotonic | logistic: from cosines to probabilities
    # [0, 1), share of the pairs of two classes that the threshold of "similar" lets through.
    evaluation.false_match_rate = 1e-3
    evaluation.pixel_baseline = False  # whether the raw pixels' figures are printed beside

    config.index = index = config_dict.ConfigDict()
    index.exact_limit = 500_000  # images >= 0, held in memory and compared one by one; above: ann
    index.exact_dtype = "float32"  # float32 | bfloat16: of those vectors in memory
    index.ann = "hnsw"  # hnsw | ivf_pq (LanceDB only): the approximate index above exact_limit
    index.thumbnail_size = 256  # pixels, 16 to 512, longer side of what results are shown with

    config.serve = serve = config_dict.ConfigDict()
    serve.api_key_variable = "SIMSEARCH_API_KEY"  # environment variable with the key for changes
    serve.allow_url_queries = False  # whether the server fetches queries from public addresses
    # Host names besides localhost that it answers to, comma-separated. With a --host that others
    # reach, IP addresses will do as well, and "" lets any name in.
    serve.allowed_hosts = ""
    serve.max_upload_mb = 20.0  # megabytes > 0 of a request's body, and of a fetched query
    serve.max_pixels = 50_000_000  # pixels; a larger query is not decoded
    serve.max_query_images = 16  # images >= 1 of one query, likes and dislikes included
    serve.default_top_k = 8  # results >= 1 where a request does not say
    serve.max_top_k = 100  # results >= 1 that a request may ask for
    serve.max_batch = 16  # images >= 1 of one forward pass
    serve.max_waiting = 256  # searches and additions >= 1 under way; more are refused with 503
    serve.upload_timeout = 30.0  # seconds > 0 within which a request's body must have come
    serve.url_timeout = 5.0  # seconds > 0 for fetching a query
    serve.search_timeout = 30.0  # seconds > 0 for answering, the wait included
    serve.drain_timeout = 30.0  # seconds > 0 that a stopping server gives to what is under way

    config.lock()
    return config
