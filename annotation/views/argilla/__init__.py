"""Argilla as a view: the embedded server or a deployment of one's own, through SDK and REST."""
