"""Every error that a user can cause, in one tree.

Each message says what was given, what is allowed and what to do. The command line prints it
as one line and exits with code 2; anything else is a defect of ours and keeps its traceback.

    VideoLLMError (ValueError)
    +-- VideoError                  a source that cannot be read as video
    |   +-- SourceNotFoundError     nothing is there: no such file, address or camera
    |   +-- SourceAccessError       it is there and may not be used: forbidden, or busy
    |   +-- SourceUnreachableError  it cannot be reached, or the connection broke: try again
    |   +-- SourceTimeoutError      it answers too slowly or not at all: try again
    |   +-- NoVideoError            it can be read and is no video: empty, text, only sound
    |   +-- DamagedVideoError       it is a video and part of it cannot be decoded
    |   +-- LiveSourceError         it is live and was asked for what only a recording has
    +-- ModelError                  a model, adapter or checkpoint: absent, or does not fit
    +-- RecipeError                 a training recipe or its command-line overrides
    +-- DataError                   data that is of no use, or an output folder that is not free
    +-- RequestError                a question, option or argument that makes no sense
"""

__all__ = [
    "DamagedVideoError",
    "DataError",
    "LiveSourceError",
    "ModelError",
    "NoVideoError",
    "RecipeError",
    "RequestError",
    "SourceAccessError",
    "SourceNotFoundError",
    "SourceTimeoutError",
    "SourceUnreachableError",
    "VideoError",
    "VideoLLMError",
]


class VideoLLMError(ValueError):
    """Base of every error that the user can mend."""


class VideoError(VideoLLMError):
    """Say that a source cannot be read as video.

    Args:
        source: What was asked for, as the user wrote it.
        finding: What was found there.
        remedy: What the user can do about it.
    """

    def __init__(self, source: object, finding: str, remedy: str) -> None:
        super().__init__(f"{source}: {finding}; {remedy}")
        self.source = source
        self.finding = finding
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["VideoError"], tuple[object, str, str]]:
        return type(self), (self.source, self.finding, self.remedy)


class SourceNotFoundError(VideoError):
    """Say that there is no such file, address or camera."""


class SourceAccessError(VideoError):
    """Say that a source is there but may not be used, or is in use."""


class SourceUnreachableError(VideoError):
    """Say that a source could not be reached, or that the connection to it broke."""


class SourceTimeoutError(VideoError):
    """Say that a source answered too slowly or not at all."""


class NoVideoError(VideoError):
    """Say that a source can be read but is no video."""


class DamagedVideoError(VideoError):
    """Say that part of a video cannot be decoded."""


class LiveSourceError(VideoError):
    """Say that a live source was asked for what only a recording can give."""


class ModelError(VideoLLMError):
    """Say that a model, adapter or checkpoint cannot be had or does not fit."""


class RecipeError(VideoLLMError):
    """Say that a recipe or one of its overrides is wrong."""


class DataError(VideoLLMError):
    """Say that data cannot be used, or that an output folder may not be written."""


class RequestError(VideoLLMError):
    """Say that a question, option or argument makes no sense."""
