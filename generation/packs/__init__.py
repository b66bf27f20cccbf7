"""Localisation packs: what is known of one language, as data."""
