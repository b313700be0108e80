"""What training and analysis of both systems share."""
