"""Make transformers' Auto classes know our models without importing transformers.

`import videollm` stays instant: our configs and our processor are registered the moment
transformers' own module for each has loaded, our models when one of the configs is first built.
"""

import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

__all__ = ["register_videollm_models", "register_when_transformers_loads"]


# Our modules that register themselves, by the module of transformers that they register with.
# They are imported whole or, when one of them is what loads transformers, already on their way.
_REGISTERING = {
    "transformers.models.auto.configuration_auto": (
        "videollm.encoder.config",
        "videollm.encoder.pretrain_config",
        "videollm.config",
    ),
    "transformers.models.auto.processing_auto": ("videollm.processor",),
}


def _import_registering(auto_module: str) -> None:
    for name in _REGISTERING[auto_module]:
        import_module(name)


@cache
def register_videollm_models() -> None:
    """Make the Auto classes build our model."""
    from transformers import AutoModelForImageTextToText

    from videollm.config import VideoLLMConfig
    from videollm.model import VideoLLMForConditionalGeneration

    AutoModelForImageTextToText.register(
        VideoLLMConfig, VideoLLMForConditionalGeneration, exist_ok=True
    )


class _Registering(Loader):
    """Run a module's own loader, then register with it."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        _import_registering(module.__name__)


class _AutoFinder(MetaPathFinder):
    """Find transformers' auto modules, with our registration after each."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _REGISTERING:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Registering(spec.loader)
        return spec


def register_when_transformers_loads() -> None:
    """Register with the Auto classes now, or as soon as transformers loads them."""
    for auto_module in _REGISTERING:
        if auto_module in sys.modules:
            _import_registering(auto_module)
    if not any(isinstance(finder, _AutoFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AutoFinder())
