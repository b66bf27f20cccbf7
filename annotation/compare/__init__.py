"""The pairwise pilot: two arms' rationales side by side, and which of them speakers prefer."""
