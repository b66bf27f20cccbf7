"""Quality signals of localised rows; null means not measurable here."""
