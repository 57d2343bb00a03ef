"""Times as options: ``0.5s``."""

import re

from glamor_cli.errors import ConfigError

_UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "min": 60.0}
_FORM = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*([a-z]*)\s*", re.ASCII)


def parse_seconds(text: str, option: str) -> float:
    """Read a time: a number and ``ms``, ``s`` or ``min``; a number alone counts seconds.

    Raises:
        ConfigError: It is not a time.
    """
    form = _FORM.fullmatch(text)
    if form is None or form[2] not in _UNITS:
        raise ConfigError(f"{text!r} is not a time", f"Give {option} as 0.5s, 500ms or 1min.")
    return float(form[1]) * _UNITS[form[2]]
