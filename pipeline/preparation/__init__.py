"""The registry of dataset adapters: each turns a raw layout on disk into a list of samples (see adapter.py)."""

ADAPTERS = {
    "streets": "pipeline.preparation.streets.adapter:Streets",
    "folder": "pipeline.preparation.folder:Folder",
    "camvid": "pipeline.preparation.camvid:CamVid",
    "cityscapes": "pipeline.preparation.cityscapes:Cityscapes",
}
"""The values of `dataset.adapter`, and the class of each."""
