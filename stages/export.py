"""Stage export: export a run's checkpoint to ONNX and compare it with PyTorch on the whole evaluation split.

reads   artifacts/students/RUN/checkpoint.safetensors, artifacts/evaluation/RUN/predictions, data/prepared/classes.json,
        data/curated/samples.csv and the images and masks that it lists
writes  artifacts/export/RUN/ (model.onnx, model_fp16.onnx, logits.onnx, other shapes), reports/metrics/export/RUN.json
"""

from pipeline.deploy.export import export_run
from pipeline.stage_table import run_stage

if __name__ == "__main__":
    run_stage("export", export_run, __doc__)
