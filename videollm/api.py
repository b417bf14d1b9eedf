"""VideoLLM: ask videos questions in a few lines of Python.

model = VideoLLM.from_pretrained("demo")
print(model.chat("clip.mp4", "What happens?"))
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, Unpack

import torch
from torch import Tensor

from videollm.answer import Answer, AnswerRecord, AnswerStream
from videollm.clip import Clip
from videollm.config import VideoLLMConfig
from videollm.conversation import Conversation, Reply, converse
from videollm.errors import RequestError
from videollm.frame_options import MAX_FRAMES, FrameOptions, check_tokens
from videollm.generate import Generation, stream_text
from videollm.generate_rows import Listener
from videollm.loading import load_model
from videollm.long_video import LongVideos, WatchProgress
from videollm.model import VideoLLMForConditionalGeneration
from videollm.processor import Message, VideoLLMProcessor
from videollm.prompt_batch import prepare_prompts
from videollm.prompting import build_messages, check_question
from videollm.runtime import pick_device, pick_dtype
from videollm.shared_prefix import generate_answers
from videollm.stream_record import StreamOptions
from videollm.streaming import StreamSession
from videollm.video_cache import ClipCache

__all__ = ["Answer", "AnswerStream", "FrameOptions", "VideoLLM", "VideoSource"]

VideoSource: TypeAlias = Any  # whatever VideoReader.open takes, or a Clip


class VideoLLM:
    """A model with its processor on a device.

    Args:
        model: The model, ready to answer.
        processor: Its processor.
        name: What to call it in answers.
    """

    def __init__(
        self, model: VideoLLMForConditionalGeneration, processor: VideoLLMProcessor, *, name: str
    ) -> None:
        self.model = model
        self.processor = processor
        self.name = name
        self._clips = ClipCache()
        streams = model.config.vision.scan_mode == "frame_causal"
        self._long_videos = LongVideos(self.stream if streams else None)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str] = "demo",
        *,
        adapter: str | os.PathLike[str] | None = None,
        quantization: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
    ) -> "VideoLLM":
        """Load a model by name or folder.

        Args:
            name_or_path: "demo", a model folder, an adapter folder, or a hub name of either.
            adapter: A PEFT folder to use instead of the model's own.
            quantization: Of the language model: None, "nf4" (4 bits) or "int8"; needs the extra
                `qlora`.
            device: "auto", "cpu", "cuda", "cuda:1", "mps".
            dtype: "auto", "float32", "bfloat16", "float16"; of the language model.

        Raises:
            ModelError: There is no such model, it is incomplete, or its adapter is for another.
        """
        chosen = pick_device(device)
        model, processor = load_model(
            name_or_path,
            adapter=adapter,
            quantization=quantization,
            device=chosen,
            dtype=pick_dtype(dtype, chosen),
        )
        return cls(model, processor, name=os.fspath(name_or_path))

    @property
    def config(self) -> VideoLLMConfig:
        """The model's config."""
        config = self.model.config
        assert isinstance(config, VideoLLMConfig)
        return config

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.model.device

    def load(self, video: VideoSource, **frames: Unpack[FrameOptions]) -> Clip:
        """Return the frames of a video that the model would see; not to be written to.

        What was decoded last of local files is remembered for the next question.

        Args:
            video: A path or anything `VideoReader.open` takes; a Clip is returned as it is.
            frames: Which of its frames, see `FrameOptions`.

        Raises:
            VideoError: The video cannot be read.
            RequestError: An option is out of range, or two do not go together.
        """
        if isinstance(video, Clip):
            return video
        options: dict[str, Any] = {name: one for name, one in frames.items() if one is not None}
        options.pop("tokens_per_frame", None)
        if "num_frames" in options and "fps" in options:
            raise RequestError("give num_frames or fps, not both")
        if "fps" in options:
            return self._clips.load_clip(video, max_frames=MAX_FRAMES, **options)
        return self._clips.load_clip(video, **{"num_frames": self.processor.num_frames, **options})

    @torch.inference_mode()
    def encode(self, clip: Clip) -> Tensor:
        """Return the encoder's features (T, N, D) of a clip."""
        pixels = self.processor.pixels([clip])["pixel_values"].to(self.device)
        return self.model.encode_videos(pixels)[0]

    def stream_answer(
        self,
        video: VideoSource | None,
        question: str,
        *,
        history: Sequence[Message] | None = None,
        generation: Generation | None = None,
        progress: Callable[[WatchProgress], None] | None = None,
        **frames: Unpack[FrameOptions],
    ) -> AnswerStream[Answer]:
        """Return the answer piece by piece; see `ask` for the arguments."""
        start = time.perf_counter()
        check_question(question)
        tokens = check_tokens(frames.get("tokens_per_frame"), self.config.max_tokens_per_frame)
        generation = generation or Generation()
        watched = self._long_videos.watch(video, progress, **frames)
        if watched is not None:
            return watched.ask(question, history, generation, model=self.name, start=start)
        messages = build_messages(question, history, has_video=video is not None)
        clips = [] if video is None else [self.load(video, **frames)]
        decoded = time.perf_counter()
        features = [self.encode(clip) for clip in clips]
        encoded = time.perf_counter()
        text = self.processor.render(
            messages, clips, add_generation_prompt=True, tokens_per_frame=tokens
        )
        inputs = self.processor(text, tokens_per_frame=tokens)
        marks: dict[str, float] = {}
        pieces = stream_text(self.model, self.processor, inputs, features, generation, marks)
        record = AnswerRecord(
            model=self.name,
            device=self.device,
            clips=[self.processor.fit(clip) for clip in clips],
            visual_tokens=int((inputs["input_ids"] == self.processor.video_token_id).sum()),
            start=start,
            spans={"decode": decoded - start, "encode": encoded - decoded},
            marks=marks,
        )
        return AnswerStream(pieces, record)

    def ask(
        self,
        video: VideoSource | None,
        question: str,
        *,
        history: Sequence[Message] | None = None,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
        progress: Callable[[WatchProgress], None] | None = None,
        **frames: Unpack[FrameOptions],
    ) -> Answer:
        """Answer one question; a video of over 512 frames (2 a second, or `fps`) is streamed.

        Args:
            video: A path or anything `VideoReader.open` takes, a Clip, or None for none.
            question: The question.
            history: Earlier turns, {"role": "user" | "assistant", "content": text}.
            max_new_tokens: Longest answer.
            temperature: 0 is greedy.
            seed: Of sampling words, where the temperature is above 0.
            progress: Is told how far a long video was watched.
            frames: Which frames of the video the model sees, and how: `FrameOptions`.

        Raises:
            VideoError: The video cannot be read.
            RequestError: The question is empty or an option is out of range.
        """
        generation = Generation(max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
        return self.stream_answer(
            video, question, history=history, generation=generation, progress=progress, **frames
        ).finish()

    def chat(
        self,
        video: VideoSource | None,
        question: str,
        history: Sequence[Message] | None = None,
        *,
        stream: bool = False,
        **options: Any,
    ) -> str | AnswerStream[Answer]:
        """Return the answer, or with `stream` an iterator of its pieces.

        Args:
            video: As in `ask`.
            question: The question.
            history: Earlier turns; the video belongs to the first.
            stream: Yield pieces as they are generated.
            options: The further arguments of `ask`.
        """
        if not stream:
            return self.ask(video, question, history=history, **options).answer
        frames: Any = {
            name: options.pop(name) for name in FrameOptions.__annotations__ if name in options
        }
        return self.stream_answer(
            video, question, history=history, generation=Generation(**options), **frames
        )

    def stream(self, **options: Any) -> StreamSession:
        """Return a session that watches a video frame by frame and answers at any moment.

        Args:
            options: Those of `MemoryOptions` (as `budget_tokens`) and of `StreamOptions`.

        Raises:
            RequestError: An option is unknown or out of range, or the encoder cannot stream.
        """
        return StreamSession(self.model, self.processor, StreamOptions.of(**options))

    def load_stream(self, path: str | os.PathLike[str]) -> StreamSession:
        """Return the session of a file that its `save` wrote; see `StreamSession.load`."""
        return StreamSession.load(path, self.model, self.processor)

    def converse(
        self, conversations: Sequence[Conversation], listeners: Sequence[Listener]
    ) -> list[Reply]:
        """Answer chats with any number of videos; see `videollm.conversation.converse`."""
        return converse(self, conversations, listeners)

    def caption(self, video: VideoSource, **options: Any) -> str:
        """Return one description of a video; options are those of `ask`."""
        return self.ask(video, "Describe the video.", **options).answer

    def batch(
        self,
        videos: Sequence[VideoSource | None],
        questions: Sequence[str],
        *,
        max_new_tokens: int = 32,
        batch_size: int = 8,
        num_frames: int | None = None,
        histories: Sequence[Sequence[Message]] | None = None,
    ) -> list[str]:
        """Answer many questions greedily, several at once.

        Args:
            videos: A video for each question; None asks without one. Clips that are the same
                object are encoded once a batch.
            questions: As many as videos.
            max_new_tokens: Longest answer.
            batch_size: Questions answered together.
            num_frames: As in `ask`.
            histories: The turns before each question, as in `ask`; None for none.

        Raises:
            RequestError: The lists differ in length, or a question is empty.
        """
        past = [()] * len(questions) if histories is None else histories
        if not len(videos) == len(questions) == len(past):
            found = f"{len(videos)} videos and {len(questions)} questions, {len(past)} histories"
            raise RequestError(f"{found}: give as many of each")
        asked = list(zip(videos, questions, past, strict=True))
        generation = Generation(max_new_tokens=max_new_tokens)
        parts = [asked[at : at + batch_size] for at in range(0, len(asked), batch_size)]
        answered = (self._answer_together(part, num_frames, generation) for part in parts)
        return [answer for answers in answered for answer in answers]

    def _answer_together(
        self,
        asked: Sequence[tuple[VideoSource | None, str, Sequence[Message]]],
        num_frames: int | None,
        generation: Generation,
    ) -> list[str]:
        videos, questions, histories = zip(*asked, strict=True)
        batch = prepare_prompts(self, videos, questions, histories=histories, num_frames=num_frames)
        return generate_answers(self.model, self.processor, batch, generation)
