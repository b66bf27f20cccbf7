"""Dataset versions, cards, checks and the HTML report."""
