"""What makes a training step cheap and keeps it exact."""
