"""Open and run a model that segdistill released.

The package verifies files, reads the contract, resizes images, runs each runtime, and builds engines on the target. It
is pure Python and needs numpy, pillow and one runtime. It imports nothing of the project that trains the models.
"""

RESIZE_MODES = {
    "stretch": "scale each side to that of the graph, whatever the image's aspect ratio",
    "letterbox": "scale both sides by the smaller of the two ratios, rounded half up, at least 1 pixel. Fill the "
    "missing rows and columns with black (0, 0, 0): half of them, rounded down, lies above and to the left. Keep only "
    "the labels of the image's rectangle",
}
"""For each mode, how an image is resized to the graph's size; the texts are in preprocessing.json."""
