"""Flags of the commands that apply a network: their values and help."""

TRACE, INTERPOLATED = READ_OUTS = ("trace", "interpolated")
"""From the logits at level 0 to the file's vertices: see `vmnet_jax.prediction.read_out`."""

SCENES_PER_BATCH = "scenes the network sees together; matters where config.layer_norm_scope is 'batch' (original: 8)"
"""Help of the flag."""
