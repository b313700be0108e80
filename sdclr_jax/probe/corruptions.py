"""Corrupted images: noise, blur, contrast, compression, as strong as in CIFAR-10-C (Hendrycks and Dietterich, 2019).

Noise and contrast are cut to whole grey levels as there: fractions are dropped, not rounded.
"""

import io

import numpy as np
from PIL import Image, ImageFilter

NOISE = (0.04, 0.06, 0.08, 0.09, 0.10)  # deviation, of 1
BLUR = (0.4, 0.6, 0.7, 0.8, 1.0)  # deviation in pixels
CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)  # factor of the difference to the image's mean colour
QUALITY = (80, 65, 58, 50, 40)  # of the JPEG


def noise(images: np.ndarray, severity: int) -> np.ndarray:
    """Gaussian noise on uint8 [N, H, W, 3], the same for the same number and shape of images."""
    drawn = np.random.default_rng(0).standard_normal(images.shape, np.float32)
    return np.clip(images + 255 * NOISE[severity - 1] * drawn, 0, 255).astype(np.uint8)


def blur(images: np.ndarray, severity: int) -> np.ndarray:
    """Pillow's Gaussian blur of uint8 [N, H, W, 3]."""
    gaussian = ImageFilter.GaussianBlur(BLUR[severity - 1])
    return np.stack([np.asarray(Image.fromarray(image).filter(gaussian)) for image in images])


def contrast(images: np.ndarray, severity: int) -> np.ndarray:
    """Moves uint8 [N, H, W, 3] towards the mean colour of each image."""
    mean = images.mean((1, 2), keepdims=True)
    return (mean + CONTRAST[severity - 1] * (images - mean)).clip(0, 255).astype(np.uint8)


def compression(images: np.ndarray, severity: int) -> np.ndarray:
    """Pillow's JPEG of uint8 [N, H, W, 3] and back."""

    def through_jpeg(image: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=QUALITY[severity - 1])
        return np.asarray(Image.open(file))

    return np.stack([through_jpeg(image) for image in images])


CORRUPTIONS = {"noise": noise, "blur": blur, "contrast": contrast, "compression": compression}


def corrupted(images: np.ndarray, severity: int) -> dict[str, np.ndarray]:
    """The images uint8 [N, H, W, 3] under each corruption, by its name, of severity 1 (weak) .. 5 (strong).

    The strengths were chosen for 32 x 32 pixels; larger images suffer less.
    """
    if not 1 <= severity <= 5:
        raise ValueError(f"severity is {severity}; it must be 1 .. 5")
    return {name: corrupt(images, severity) for name, corrupt in CORRUPTIONS.items()}
