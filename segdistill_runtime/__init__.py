"""Open a model that segdistill released and run it: verification, contract, images, runtimes, engines on the target.

Pure Python with numpy, pillow and one runtime. Nothing here imports the project that trains the models.
"""
