"""What a prediction writes and what it will cost."""
