"""Registration of the encoder's models with transformers' Auto classes.

The configs are registered when transformers loads (videollm/registration.py); a model class is
needed only once a config of it exists, so the configs call this when they are built.
"""

from functools import cache

__all__ = ["register_encoder_models"]


@cache
def register_encoder_models() -> None:
    """Make AutoModel build our encoder and AutoModelForPreTraining its pretraining model."""
    from transformers import AutoModel, AutoModelForPreTraining

    from videollm.encoder.config import VideoMAPConfig
    from videollm.encoder.pretrain import VideoMAPForPreTraining
    from videollm.encoder.pretrain_config import VideoMAPPreTrainingConfig
    from videollm.encoder.videomap import VideoMAPModel

    AutoModel.register(VideoMAPConfig, VideoMAPModel, exist_ok=True)
    AutoModelForPreTraining.register(
        VideoMAPPreTrainingConfig, VideoMAPForPreTraining, exist_ok=True
    )
