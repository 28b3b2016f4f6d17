"""The configuration of a run: frozen dataclasses, read from `configs/`, overridden and checked."""

from simsearch.config.checked import differences, field_names, from_dict, from_json, to_json
from simsearch.config.groups import Config

__all__ = ["Config", "differences", "field_names", "from_dict", "from_json", "to_json"]
