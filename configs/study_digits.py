"""SimCLR compared with SDCLR (tables 4 and 5 of the paper in small) on long-tailed handwritten digits, three seeds.

A seed is also the draw of the lists. A run takes about a minute on two CPU cores, training and evaluation.

  python -m sdclr_jax.study --config=configs/study_digits.py

Words: `smoke` for two seeds of two epochs.
"""

from ml_collections import ConfigDict

from trainlib.core.config import parse_words

BASE = "configs/sdclr_digits_lt.py"


def get_config(words: str = "") -> ConfigDict:
    given = parse_words(words, known={"smoke": False})
    more = ",smoke" if given["smoke"] else ""
    config = ConfigDict()
    config.title = "Long-tailed digits, test images"
    config.seeds = (1, 2) if given["smoke"] else (1, 2, 3)
    config.variants = tuple(
        (method, f"{BASE}:{method},split={{seed}},seed={{seed}}{more}", ("keep_checkpoints=1",))
        for method in ("simclr", "sdclr")
    )
    return config
