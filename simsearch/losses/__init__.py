"""Losses on embeddings: one idea per file, each returning `parts.LossParts`.

A loss over the pairs of a batch takes (anchors, anchor_labels, anchor_rows, embeddings, labels,
valid) as `triplet.mined` does, finds its pairs by `pairs.masks`, and adds up over devices.
"""
