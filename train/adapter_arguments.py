"""What can be set about which weights `instruct` teaches, and what its model card says."""

from dataclasses import dataclass, field
from typing import Literal

from videollm.lora import LoraShape
from videollm.train.fields import described, require

__all__ = ["AdapterArguments"]


@dataclass(kw_only=True)
class AdapterArguments:
    """How the language model is tuned, and what learns beside it."""

    tuning: Literal["lora", "qlora", "dora", "full"] = field(
        default="lora",
        metadata=described(
            "lora; qlora: on a language model in 4 bits; dora: LoRA with learned row lengths; "
            "full: every weight of the language model"
        ),
    )
    lora_rank: int = field(
        default=16, metadata=described("rank of the update of each linear layer")
    )
    lora_alpha: int = field(default=32, metadata=described("the update is scaled by alpha / rank"))
    lora_dropout: float = field(
        default=0.0, metadata=described("dropout before the update, 0 to 1")
    )
    lora_targets: list[str] = field(
        default_factory=list,
        metadata=described("linear layers that get an update, as q_proj (default: all)"),
    )
    lora_rslora: bool = field(
        default=False, metadata=described("scale the update by alpha / sqrt(rank)")
    )
    train_projector: bool = field(
        default=True, metadata=described("train the projector too, at projector_learning_rate")
    )
    train_encoder: bool = field(
        default=False, metadata=described("train the encoder too, at encoder_learning_rate")
    )
    modules_to_save: list[str] = field(
        default_factory=list,
        metadata=described("further modules that are trained and saved whole, as embed_tokens"),
    )
    license: str | None = field(
        default=None, metadata=described("licence that the model card states, as apache-2.0")
    )

    def __post_init__(self) -> None:
        require(self.lora_rank >= 1, f"lora_rank: {self.lora_rank} given, 1 or more allowed")
        require(
            0 <= self.lora_dropout < 1, f"lora_dropout: {self.lora_dropout} given, [0, 1) allowed"
        )
        if self.tuning == "full":
            fresh = LoraShape()
            given = [
                name
                for name, value in (
                    ("lora_dropout", self.lora_dropout != fresh.dropout),
                    ("lora_targets", self.lora_targets),
                    ("lora_rslora", self.lora_rslora),
                    ("modules_to_save", self.modules_to_save),
                )
                if value
            ]
            require(
                not given,
                f"{', '.join(given)}: tuning: full has no adapter; leave out, or use tuning: lora",
            )

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the modules that an adapter brings whole."""
        own = (("projector", self.train_projector), ("vision_model", self.train_encoder))
        return (*(name for name, trained in own if trained), *self.modules_to_save)

    @property
    def shape(self) -> LoraShape:
        """What a fresh adapter consists of."""
        return LoraShape(
            rank=self.lora_rank,
            alpha=self.lora_alpha,
            dropout=self.lora_dropout,
            targets=tuple(self.lora_targets),
            rslora=self.lora_rslora,
            dora=self.tuning == "dora",
            modules_to_save=self.modules,
        )
