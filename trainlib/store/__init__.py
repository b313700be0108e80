"""What a run or an installation keeps on disk: checkpoints and traced programs."""
