"""The operations of AutoAugment's family in TensorFlow, each equal to PIL's but for its rounding.

Every image is RGB, uint8 [H, W, 3], what comes out is alike.
"""

import tensorflow as tf

# What stands where an image was moved away from; AutoAugment's authors fill with it.
FILL = 128
# Weights of red, green and blue in the grey value.
LUMA = (0.299, 0.587, 0.114)


def to_uint8(pixels: tf.Tensor) -> tf.Tensor:
    """Returns pixels of any number type rounded into 0 … 255."""
    if pixels.dtype == tf.uint8:
        return pixels
    # The cast cuts off the fraction; one clip does the work of a minimum and a maximum.
    clipped = tf.raw_ops.ClipByValue(t=pixels + 0.5, clip_value_min=0.0, clip_value_max=255.0)
    return tf.cast(clipped, tf.uint8)


def brightness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Returns the image times `factor`: 0 is black, 1 the image."""
    return to_uint8(tf.cast(image, tf.float32) * factor)


def color(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Returns the image blended with its grey: 0 is grey, 1 the image, more is gaudy."""
    pixels = tf.cast(image, tf.float32)
    return _blend(gray(pixels), pixels, factor)


def contrast(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Returns the image blended with its mean grey: 0 is flat, 1 the image."""
    pixels = tf.cast(image, tf.float32)
    mean = tf.reduce_mean(pixels, [0, 1], keepdims=True)
    return _blend(tf.round(gray(mean)), pixels, factor)


def sharpness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Returns the image blended with its smoothed self: 0 is smooth, 1 the image, 2 sharp.

    The outermost pixels have no neighbours to be smoothed with and stay.
    """
    pixels = tf.cast(image, tf.float32)
    # PIL's kernel, 5 in the middle and 1 around it over 13, as a mean of nine and the pixel.
    mean = tf.nn.avg_pool2d(pixels[None], 3, 1, "VALID")[0]
    smooth = tf.round((9.0 * mean + 4.0 * pixels[1:-1, 1:-1]) / 13.0)
    change = (1.0 - factor) * (smooth - pixels[1:-1, 1:-1])
    return to_uint8(pixels + tf.pad(change, [[1, 1], [1, 1], [0, 0]]))


def posterize(image: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Returns the image with its `bits` highest bits of each channel, int32 [] from 0 to 8."""
    mask = 256 - tf.bitwise.left_shift(1, 8 - bits)
    return tf.bitwise.bitwise_and(image, tf.cast(mask, tf.uint8))


def solarize(image: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Returns the image with every value from `threshold` on, float [], inverted."""
    # No value reaches a threshold above 255, and a uint8 comparison could not hold it.
    is_bright = image >= tf.cast(tf.math.ceil(tf.minimum(threshold, 255.0)), tf.uint8)
    return tf.where(is_bright & (threshold <= 255.0), 255 - image, image)


def autocontrast(image: tf.Tensor) -> tf.Tensor:
    """Returns the image with each channel stretched over 0 … 255; a flat channel stays."""
    pixels = tf.cast(image, tf.float32)
    low = tf.reduce_min(pixels, [0, 1])
    high = tf.reduce_max(pixels, [0, 1])
    is_flat = high <= low
    scale = tf.where(is_flat, 1.0, 255.0 / tf.maximum(high - low, 1.0))
    # PIL cuts the fraction off; the epsilon keeps whole numbers whole.
    stretched = tf.floor((pixels - tf.where(is_flat, 0.0, low)) * scale + 1e-3)
    return to_uint8(stretched)


def equalize(image: tf.Tensor) -> tf.Tensor:
    """Returns the image with each channel's histogram flattened, as far as whole values allow."""
    values = tf.cast(image, tf.int32) + tf.constant([0, 256, 512])
    counts = tf.math.bincount(tf.reshape(values, [-1]), minlength=768, maxlength=768)
    counts = tf.reshape(counts, [3, 256])
    # The step leaves out the highest value that occurs, so that it ends at 255.
    highest = 255 - tf.argmax(tf.reverse(counts > 0, [1]), axis=1, output_type=tf.int32)
    last = tf.gather(counts, highest, batch_dims=1)
    step = (tf.reduce_sum(counts, 1) - last) // 255
    before = tf.cumsum(counts, axis=1, exclusive=True)
    table = (before + step[:, None] // 2) // tf.maximum(step, 1)[:, None]
    table = tf.where(step[:, None] == 0, tf.range(256)[None], tf.minimum(table, 255))
    return tf.cast(tf.gather(tf.reshape(table, [-1]), values), tf.uint8)


def shift(image: tf.Tensor, *, down: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Returns the image moved by whole pixels, int32 [], the rest filled."""
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    padding = [
        [tf.maximum(down, 0), tf.maximum(-down, 0)],
        [tf.maximum(right, 0), tf.maximum(-right, 0)],
        [0, 0],
    ]
    padded = tf.pad(image, padding, constant_values=FILL)
    start = tf.stack([tf.maximum(-down, 0), tf.maximum(-right, 0), 0])
    return tf.slice(padded, start, tf.stack([height, width, 3]))


def shear(image: tf.Tensor, *, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Returns the image whose point (u, v) is the old one's (u + x * v, v + y * u)."""
    return _transform(image, (1.0, x, y, 1.0), (0.0, 0.0))


def rotate(image: tf.Tensor, degrees: tf.Tensor) -> tf.Tensor:
    """Returns the image turned about its centre, counter-clockwise."""
    angle = degrees * (3.141592653589793 / 180.0)
    cos, sin = tf.cos(angle), tf.sin(angle)
    size = tf.cast(tf.shape(image), tf.float32)
    return _transform(image, (cos, -sin, sin, cos), (size[1] / 2, size[0] / 2))


def gray(pixels: tf.Tensor) -> tf.Tensor:
    """Returns the brightness of each pixel as the eye sees it, float [H, W, 1]."""
    return tf.tensordot(pixels, tf.constant(LUMA)[:, None], 1)


def _blend(other: tf.Tensor, pixels: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    return to_uint8(other + factor * (pixels - other))


def _transform(
    image: tf.Tensor,
    matrix: tuple[tf.Tensor | float, ...],
    center: tuple[tf.Tensor | float, tf.Tensor | float],
) -> tf.Tensor:
    """Samples at `center + matrix @ (point - center)`; pixel i has its centre at i + 0.5."""
    a, b, c, d = matrix
    x, y = center[0] - 0.5, center[1] - 0.5
    rows = [a, b, x - a * x - b * y, c, d, y - c * x - d * y, 0.0, 0.0]
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(image, tf.float32)[None],
        transforms=tf.stack([tf.cast(value, tf.float32) for value in rows])[None],
        output_shape=tf.shape(image)[:2],
        fill_value=float(FILL),
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return to_uint8(moved[0])
