"""Stage quantize: make the int8 graphs of a run, for CPUs and for TensorRT.

reads   artifacts/export/RUN/model.onnx, artifacts/students/RUN, artifacts/evaluation/RUN/predictions,
        data/prepared/classes.json, data/curated/samples.csv and the images and masks that it lists; also
        artifacts/teacher if the run has a teacher and quantization.fine_tuning.iterations is above 0
writes  artifacts/quantize/RUN/ (model_int8.onnx, model_int8_tensorrt.onnx, calibration.csv),
        reports/metrics/quantize/RUN.json
"""

from pipeline.quantization.quantize import Inputs, quantize_run
from pipeline.stage_table import run_stage

if __name__ == "__main__":
    run_stage("quantize", quantize_run, __doc__, inputs=Inputs)
