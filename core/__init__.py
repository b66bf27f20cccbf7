"""What every part shares: schemas, artefacts, steps, recipes, languages, statistics, the CLI root."""
