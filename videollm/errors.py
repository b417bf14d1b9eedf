"""Every error that a user can cause, in one tree.

Each message says what was given, what is allowed and what to do. The command line prints it
as one line and exits with code 2; anything else is a defect of ours and keeps its traceback.

    VideoLLMError (ValueError)
    +-- VideoError          a source that cannot be read as video
    +-- ModelError          a model, adapter or checkpoint that cannot be had or does not fit
    +-- RecipeError         a training recipe or its command-line overrides
    +-- DataError           data that cannot be used, or an output folder that may not be written
    +-- RequestError        a question, option or argument that makes no sense
"""

__all__ = [
    "DataError",
    "ModelError",
    "RecipeError",
    "RequestError",
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


class ModelError(VideoLLMError):
    """Say that a model, adapter or checkpoint cannot be had or does not fit."""


class RecipeError(VideoLLMError):
    """Say that a recipe or one of its overrides is wrong."""


class DataError(VideoLLMError):
    """Say that data cannot be used, or that an output folder may not be written."""


class RequestError(VideoLLMError):
    """Say that a question, option or argument makes no sense."""
