"""Registration of the encoder's classes with transformers' Auto classes.

A config registers itself at the end of its module, which is imported when transformers loads
(videollm/registration.py). A model class is needed only once a config of it exists, so configs
register the models when they are built.
"""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers.configuration_utils import PreTrainedConfig

__all__ = ["register_config", "register_encoder_models"]


def register_config(config: "type[PreTrainedConfig]") -> None:
    """Make AutoConfig build this config for its `model_type`."""
    from transformers import AutoConfig

    AutoConfig.register(config.model_type, config, exist_ok=True)


@cache
def register_encoder_models() -> None:
    """Make the Auto classes build our encoder, its classifier and its pretraining model."""
    from transformers import AutoModel, AutoModelForPreTraining, AutoModelForVideoClassification

    from videollm.encoder.classification import VideoMAPForVideoClassification
    from videollm.encoder.config import VideoMAPConfig
    from videollm.encoder.pretrain import VideoMAPForPreTraining
    from videollm.encoder.pretrain_config import VideoMAPPreTrainingConfig
    from videollm.encoder.videomap import VideoMAPModel

    AutoModel.register(VideoMAPConfig, VideoMAPModel, exist_ok=True)
    AutoModelForVideoClassification.register(
        VideoMAPConfig, VideoMAPForVideoClassification, exist_ok=True
    )
    AutoModelForPreTraining.register(
        VideoMAPPreTrainingConfig, VideoMAPForPreTraining, exist_ok=True
    )
