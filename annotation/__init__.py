"""Native-speaker review (room kept for the embedded Argilla server, routing and agreement)."""
