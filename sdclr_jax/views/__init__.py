"""Random views of images, on the device."""
