"""videollm: ask, train, evaluate and serve an open VideoLLM with a streaming encoder."""

__version__ = "0.1.0"
