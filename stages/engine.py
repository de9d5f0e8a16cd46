"""Stage engine: build TensorRT engines of one run, for the compute capabilities and precisions in the parameters.

reads   artifacts/export/RUN, artifacts/quantize/RUN, artifacts/evaluation/RUN/predictions,
        reports/metrics/export/RUN.json, reports/metrics/quantize/RUN.json,
        data/prepared/classes.json, data/curated/samples.csv and the images and masks that it lists
writes  artifacts/engine/RUN/ (*.engine, each with *.engine.json), reports/metrics/engine/RUN.json
"""

from pipeline.deploy.engine import build_run_engines
from pipeline.stage_table import run_stage

if __name__ == "__main__":
    run_stage("engine", build_run_engines, __doc__)
