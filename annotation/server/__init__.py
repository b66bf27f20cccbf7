"""Installing, starting, stopping and backing up the embedded Argilla server."""
