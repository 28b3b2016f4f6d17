"""From a configuration to the parts that it names, which take plain arguments and never see one."""

from simsearch.wiring import facts, images, losses, network, paths

__all__ = ["facts", "images", "losses", "network", "paths"]
