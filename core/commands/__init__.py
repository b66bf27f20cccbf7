"""Commands of the core part."""
