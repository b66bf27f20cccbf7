"""Review in files: spreadsheets go out, and come back answered; no network is needed."""
