"""Losses on embeddings: one idea per file, each returning `ratio.Ratio`.

`terms` names them, and says what each is handed. A loss of pairs takes anchors and a gallery and
finds its pairs by `pairs.masks`; a loss with class vectors takes images and proxies.
"""
