"""Backends that write text: authored, template, local, server, vLLM."""
