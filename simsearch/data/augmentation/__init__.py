"""Random changes to training images, in TensorFlow."""
