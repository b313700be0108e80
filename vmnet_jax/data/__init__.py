"""From scene files to padded batches."""
