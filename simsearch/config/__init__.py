"""The configuration of a run: frozen dataclasses, read from `configs/`, overridden and checked."""

from simsearch.config.checked import differences, field_names, from_dict, from_json, to_json
from simsearch.config.groups import Config, Eval

__all__ = ["Config", "Eval", "differences", "field_names", "from_dict", "from_json", "to_json"]
