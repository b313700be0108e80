"""What the commands share: lists of scenes, dataset layouts, reports, worker processes."""
