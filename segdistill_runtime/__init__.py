"""Open a model that segdistill released and run it: verification, contract, images, runtimes, engines on the target.

Pure Python with numpy, pillow and one runtime. Nothing here imports the project that trains the models.
"""

RESIZE_MODES = {
    "stretch": "to the graph's height and width, whatever the image's aspect ratio",
    "letterbox": "both sides of the image by the smaller of the two ratios, rounded half up, at least 1 pixel; half of "
    "the missing rows and columns, rounded down, lies above and to the left, and all of them are black (0, 0, 0). "
    "Labels are those of the image's rectangle alone",
}
"""How an image of another size than the graph's becomes one of the graph's, by name."""
