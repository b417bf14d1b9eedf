"""Serving: the chat page and the API."""
