"""VideoLLMProcessor: messages and clips in, tensors for the model out.

A video stands in the text as its frames' visual placeholders with their times between them
("0.1s:" before every `time_stride`-th token frame), so that answers can cite times.

Legend: B rows of text, V videos, L tokens.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor
from transformers import AutoProcessor, PreTrainedTokenizerBase
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

from videollm.clip import Clip
from videollm.config import VIDEO_TOKEN, VideoLLMConfig, add_video_token
from videollm.errors import RequestError
from videollm.transforms import preprocess_frames

__all__ = ["Message", "VideoLLMProcessor"]

SYSTEM_PROMPT = "Answer questions about the video."

Message: TypeAlias = dict[str, Any]


class VideoLLMProcessor(ProcessorMixin):
    """Render chats with videos and turn clips into pixel values.

    Args:
        tokenizer: The language model's; gets the placeholder as an added token.
        image_size: Side of the square that frames are fitted into, in pixels.
        tubelet_size: Frames of one token frame.
        tokens_per_frame: Placeholders of one token frame.
        num_frames: Frames sampled from a video by default.
        time_stride: Token frames from one written time to the next; 0 writes none.
        image_mean: Mean of the pixels in [0, 1], for each channel.
        image_std: Likewise, standard deviation.
        system_prompt: System message of chats that bring none.
        chat_template: Replaces the tokenizer's own.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        image_size: int = 64,
        tubelet_size: int = 1,
        tokens_per_frame: int = 16,
        num_frames: int = 16,
        time_stride: int = 2,
        image_mean: Sequence[float] = (0.5, 0.5, 0.5),
        image_std: Sequence[float] = (0.5, 0.5, 0.5),
        system_prompt: str = SYSTEM_PROMPT,
        chat_template: str | None = None,
    ) -> None:
        self.image_size = image_size
        self.tubelet_size = tubelet_size
        self.tokens_per_frame = tokens_per_frame
        self.num_frames = num_frames
        self.time_stride = time_stride
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)
        self.system_prompt = system_prompt
        super().__init__(tokenizer, chat_template=chat_template or tokenizer.chat_template)
        self.video_token = VIDEO_TOKEN
        self.video_token_id = add_video_token(tokenizer)

    @classmethod
    def from_config(
        cls, config: VideoLLMConfig, tokenizer: PreTrainedTokenizerBase, **options: Any
    ) -> "VideoLLMProcessor":
        """Return a processor whose sizes are those of a model's config."""
        vision = config.vision
        return cls(
            tokenizer,
            image_size=vision.image_size,
            tubelet_size=vision.tubelet_size,
            tokens_per_frame=config.tokens_per_frame,
            **{"num_frames": vision.num_frames, **options},
        )

    def __call__(
        self,
        text: str | Sequence[str],
        videos: Sequence[Clip] = (),
        *,
        padding_side: str = "left",
        tokens_per_frame: int | None = None,
    ) -> BatchFeature:
        """Return the tensors of rendered texts and their clips.

        Args:
            text: One text or B of them, as `render` returns.
            videos: V clips, in the order in which the texts hold them.
            padding_side: "left" for generation, "right" for training.
            tokens_per_frame: As the texts were rendered with.

        Returns:
            input_ids, attention_mask: (B, L); with videos also pixel_values
            (V, frames, 3, size, size), frame_counts (V,) and frame_seconds (V, frames); beyond
            a video's own frames pixel_values hold zeros and frame_seconds -1. Where it is
            given, tokens_per_frame.
        """
        texts = [text] if isinstance(text, str) else list(text)
        encoded = self.tokenizer(
            texts,
            padding=len(texts) > 1,
            padding_side=padding_side,
            add_special_tokens=False,
            return_tensors="pt",
        )
        data = {name: encoded[name] for name in ("input_ids", "attention_mask")}
        if videos:
            data |= self.pixels(videos)
        if tokens_per_frame is not None:
            data["tokens_per_frame"] = tokens_per_frame
        return BatchFeature(data)

    def pixels(self, videos: Sequence[Clip]) -> dict[str, Tensor]:
        """Return pixel_values, frame_counts and frame_seconds of clips, padded to the longest."""
        clips = [self.fit(clip) for clip in videos]
        frames = [self.frame_pixels(clip.frames) for clip in clips]
        seconds = [clip.pts_seconds for clip in clips]
        pad = torch.nn.utils.rnn.pad_sequence
        return {
            "pixel_values": pad(frames, batch_first=True),
            "frame_counts": torch.tensor([len(part) for part in seconds]),
            "frame_seconds": pad(seconds, batch_first=True, padding_value=-1.0),
        }

    def frame_pixels(self, frames: Tensor) -> Tensor:
        """Return the model's input (T, 3, size, size) for frames (T, 3, H, W), uint8."""
        mean, std = tuple(self.image_mean), tuple(self.image_std)
        return preprocess_frames(frames, self.image_size, mean=mean, std=std)

    def fit(self, clip: Clip) -> Clip:
        """Return the clip with its last frame repeated up to a multiple of the tubelet size."""
        missing = -clip.frames.shape[0] % self.tubelet_size
        if not missing:
            return clip
        last = clip.frames[-1:].expand(missing, -1, -1, -1)
        return replace(
            clip,
            frames=torch.cat([clip.frames, last]),
            pts_seconds=torch.cat([clip.pts_seconds, clip.pts_seconds[-1:].expand(missing)]),
        )

    def render(
        self,
        messages: Sequence[Message],
        videos: Sequence[Clip] = (),
        *,
        add_generation_prompt: bool = False,
        tokens_per_frame: int | None = None,
    ) -> str:
        """Return the text of a chat, placeholders expanded.

        Args:
            messages: {"role": ..., "content": ...}; content is a text or a list of parts
                {"type": "video"} and {"type": "text", "text": ...}.
            videos: The clips of the video parts, in order.
            add_generation_prompt: End with the opening of the assistant's turn.
            tokens_per_frame: Placeholders of one token frame, in the place of its own number.

        Raises:
            RequestError: Videos and video parts differ in number, or a text holds the
                placeholder itself.
        """
        texts = [self.video_text(clip, tokens_per_frame) for clip in videos]
        return self.render_texts(messages, texts, add_generation_prompt=add_generation_prompt)

    def render_texts(
        self,
        messages: Sequence[Message],
        video_texts: Sequence[str],
        *,
        add_generation_prompt: bool = False,
    ) -> str:
        """Return the text of a chat whose videos are texts already; see `render`.

        Args:
            messages: As in `render`.
            video_texts: What stands for each video part, in order.
            add_generation_prompt: As in `render`.

        Raises:
            RequestError: As in `render`.
        """
        flat = [
            {"role": message["role"], "content": self._flatten(message["content"])}
            for message in messages
        ]
        if self.system_prompt and all(message["role"] != "system" for message in flat):
            flat.insert(0, {"role": "system", "content": self.system_prompt})
        text = self.tokenizer.apply_chat_template(
            flat,
            chat_template=self.chat_template,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
        )
        pieces = text.split(VIDEO_TOKEN)
        if len(pieces) - 1 != len(video_texts):
            raise RequestError(
                f"the messages hold {len(pieces) - 1} videos, {len(video_texts)} clips were given"
            )
        return "".join(
            piece + video for piece, video in zip(pieces, [*video_texts, ""], strict=True)
        )

    def video_text(self, clip: Clip, tokens_per_frame: int | None = None) -> str:
        """Return the placeholders of one clip with its times between them."""
        seconds = self.fit(clip).pts_seconds[:: self.tubelet_size].tolist()
        frame = VIDEO_TOKEN * (tokens_per_frame or self.tokens_per_frame)
        return "".join(
            f"{second:.1f}s:{frame}" if self.time_stride and not index % self.time_stride else frame
            for index, second in enumerate(seconds)
        )

    def _flatten(self, content: str | Sequence[dict[str, Any]]) -> str:
        """Return a message's content as one text with a bare placeholder for each video."""
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        videos, texts = [], []
        for part in parts:
            if part["type"] == "video":
                videos.append(VIDEO_TOKEN)
            elif VIDEO_TOKEN in part["text"]:
                raise RequestError(f"a message holds {VIDEO_TOKEN}, which stands for video frames")
            else:
                texts.append(part["text"])
        return "\n".join([*videos, *texts])


AutoProcessor.register(VideoLLMConfig, VideoLLMProcessor, exist_ok=True)
