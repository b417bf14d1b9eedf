"""What lmms-eval reads to find our model, and nothing else: it loads all plug-ins in one try.

Entry point of the group `lmms_eval.models`. The model itself is in `videollm.eval.lmms_model`,
imported only when it is asked for.
"""

from typing import Any

__all__ = ["build_manifest"]


def build_manifest() -> Any:  # noqa: ANN401 (a class of lmms-eval)
    """Return the manifest under which lmms-eval offers the model as `videollm`."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(
        model_id="videollm",
        simple_class_path="videollm.eval.lmms_model.VideoLLMForLmms",
        chat_class_path="videollm.eval.lmms_model.VideoLLMChatForLmms",
    )
