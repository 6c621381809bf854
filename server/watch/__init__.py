"""The listeners: the page, overlay images, metrics, recordings. The server works without any of them, too."""
