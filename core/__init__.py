"""What every part shares: schemas, artefacts, steps, recipes, languages, the CLI root."""
