"""Make transformers' Auto classes know our models without importing transformers.

`import videollm` stays instant: our configs and our processor are registered the moment
transformers' own module for each has loaded, our models when one of the configs is first built.
"""

import sys
from collections.abc import Sequence
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

__all__ = ["register_videollm_models", "register_when_transformers_loads"]

_AUTO_CONFIG = "transformers.models.auto.configuration_auto"
_AUTO_PROCESSOR = "transformers.models.auto.processing_auto"


def _register_configs() -> None:
    from transformers.models.auto.configuration_auto import AutoConfig

    from videollm.config import VideoLLMConfig
    from videollm.encoder.config import VideoMAPConfig
    from videollm.encoder.pretrain_config import VideoMAPPreTrainingConfig

    for config in (VideoMAPConfig, VideoMAPPreTrainingConfig, VideoLLMConfig):
        AutoConfig.register(config.model_type, config, exist_ok=True)


def _register_processor() -> None:
    from transformers.models.auto.processing_auto import AutoProcessor

    from videollm.config import VideoLLMConfig
    from videollm.processor import VideoLLMProcessor

    AutoProcessor.register(VideoLLMConfig, VideoLLMProcessor, exist_ok=True)


_REGISTRATIONS = {_AUTO_CONFIG: _register_configs, _AUTO_PROCESSOR: _register_processor}


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
        _REGISTRATIONS[module.__name__]()


class _AutoFinder(MetaPathFinder):
    """Find transformers' auto modules, with our registration after each."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _REGISTRATIONS:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Registering(spec.loader)
        return spec


def register_when_transformers_loads() -> None:
    """Register with the Auto classes now, or as soon as transformers loads them."""
    for module, register in _REGISTRATIONS.items():
        if module in sys.modules:
            register()
    if not any(isinstance(finder, _AutoFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AutoFinder())
