"""Images with labels: where they come from, how they are read, sampled, augmented and batched."""
