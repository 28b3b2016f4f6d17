"""Every backbone by name. A new one is a file with its `BACKBONES`, and a line here."""

import difflib
import importlib

from simsearch import errors
from simsearch.models import backbone

# Files of this folder, in the order in which their backbones are listed.
_FAMILIES = (
    "resnet",
    "efficientnet_v2",
    "mobilenet_v3",
    "mobilenet_v2",
)
_BY_NAME: dict[str, backbone.Backbone] = {
    name: entry
    for family in _FAMILIES
    for name, entry in importlib.import_module(f"simsearch.models.{family}").BACKBONES.items()
}
# Short names, and the backbone of the family that each one means.
ALIASES = {
    "resnext": "resnext50_32x4d",
    "efficientnet": "efficientnet_v2_s",
    "mobilenet": "mobilenet_v3_large",
    "wide_resnet": "wide_resnet50_2",
}
NAMES = tuple(_BY_NAME)


def find(name: str) -> backbone.Backbone:
    """Returns the backbone of a name or of a short name.

    Raises:
        UsageError: Where there is none; the nearest name and all names are in the message.
    """
    found = _BY_NAME.get(ALIASES.get(name, name))
    if found is None:
        nearest = difflib.get_close_matches(name, [*NAMES, *ALIASES], n=1, cutoff=0.4)
        hint = f"did you mean {nearest[0]}? " if nearest else ""
        short = ", ".join(f"{alias} ({meant})" for alias, meant in ALIASES.items())
        raise errors.UsageError(
            f"model.backbone={name!r} does not exist; {hint}There are {', '.join(NAMES)}; "
            f"and for short {short}"
        )
    return found
