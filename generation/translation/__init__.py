"""Translation: memory, engines, models, pivots; masking, glossary lock, exact re-joining."""
