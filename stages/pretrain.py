"""Stage pretrain: train a backbone to imitate an ImageNet classifier on images without labels.

reads   data/prepared/classes.json, data/curated/samples.csv and the images that it lists
writes  artifacts/pretraining/backbone.safetensors, artifacts/pretraining/training.csv
"""

from pipeline.pretraining.pretrain import pretrain
from pipeline.stage_table import run_stage

if __name__ == "__main__":
    run_stage("pretrain", pretrain, __doc__)
