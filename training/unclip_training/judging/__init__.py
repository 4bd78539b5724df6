"""The judge: a classifier of concept and style on MobileNetV2 features."""
