"""Sources, normalising, taxonomy, language id, near-duplicates, families and groups, splits."""
