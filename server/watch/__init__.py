"""Whoever looks on: the page, overlay images, metrics, recordings. Each can be left out."""
