"""What TensorRT-RTX compiled at first run, kept beside the engine for the next process."""

from pathlib import Path
from typing import Any

from glamor_cli.errors import ConfigError
from glamor_cli.files.atomic import atomic_path


class RuntimeCache:
    """Kernels for this GPU and driver, shared by all batch sizes of an engine.

    A convenience only: whatever fails here costs the time of compiling again, and nothing else.

    Args:
        engine: The loaded engine.
        path: Its file; the cache is ``<file>.cache``.
    """

    def __init__(self, engine: Any, path: Path) -> None:
        self._path = cache_path(path)
        options = engine.create_runtime_config()
        self._cache = options.create_runtime_cache() if options is not None else None
        self._saved = b""
        if self._cache is None:
            return
        try:
            known = self._path.read_bytes()
        except OSError:
            return
        # The library itself refuses what another version, driver or GPU wrote.
        if self._cache.deserialize(known):
            self._saved = known

    def attach(self, options: Any) -> None:
        """Let a context that will be made with these options read and fill the cache."""
        if self._cache is not None:
            options.set_runtime_cache(self._cache)

    def save(self) -> None:
        """Write the cache if it has grown; a folder that cannot be written to is left alone."""
        memory = self._cache.serialize() if self._cache is not None else None
        content = bytes(memory) if memory is not None else b""
        if not content or content == self._saved:
            return
        try:
            with atomic_path(self._path) as temporary:
                temporary.write_bytes(content)
        except (ConfigError, OSError):
            return
        self._saved = content


def cache_path(engine: Path) -> Path:
    """Where the cache of ``x.engine`` lies: ``x.engine.cache``."""
    return engine.with_name(f"{engine.name}.cache")
