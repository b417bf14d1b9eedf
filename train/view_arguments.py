"""What can be set about how clips are cut from videos and changed for training."""

from dataclasses import dataclass, field
from typing import Literal

from videollm.train.decoding import DecodeArguments
from videollm.train.fields import described, require

__all__ = ["ViewArguments"]


@dataclass(kw_only=True)
class ViewArguments(DecodeArguments):
    """Which frames a training clip takes, and how they are changed."""

    sampling: Literal["uniform", "segments", "dense", "keyframes", "scenes"] = field(
        default="segments",
        metadata=described(
            "uniform: always the centres of equal parts; segments: any frame of each (TSN); "
            "dense: a window anywhere; keyframes: evenly thinned, or repeated; scenes: every scene"
        ),
    )
    frame_stride: int = field(
        default=4, metadata=described("dense: source frames from one frame to the next")
    )
    crop: Literal["letterbox", "resized"] = field(
        default="letterbox",
        metadata=described("letterbox: always the whole picture; resized: random crops"),
    )
    crop_scale: list[float] = field(
        default_factory=lambda: [0.5, 1.0],
        metadata=described("resized: least and largest share of the picture's area"),
    )
    flip: float = field(
        default=0.0, metadata=described("chance of mirroring; refused where classes have sides")
    )
    rand_augment: str | None = field(
        default=None, metadata=described("as m7-n4-mstd0.5-inc1; null for none")
    )
    erase: float = field(default=0.0, metadata=described("chance of erasing a box of all frames"))
    repeats: int = field(
        default=1, metadata=described("views of each decoded clip in a batch, 1 or more")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("frame_stride", "repeats"):
            require(
                getattr(self, name) >= 1, f"{name}: {getattr(self, name)} given, 1 or more allowed"
            )
        require(
            len(self.crop_scale) == 2 and 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1,
            f"crop_scale: {self.crop_scale} given; two shares, the least first, in (0, 1]",
        )

    @property
    def is_random(self) -> bool:
        """Whether two views of one video can differ."""
        return self.changes_pictures or self.sampling in ("segments", "dense")

    @property
    def changes_pictures(self) -> bool:
        """Whether more is done to a picture than to fit it into the square."""
        return bool(self.crop != "letterbox" or self.flip or self.rand_augment or self.erase)
