"""Stage benchmark: measure the latency of a run's checkpoint, ONNX files and engines on this machine, in turns.

reads   artifacts/{students,export,quantize,engine}/RUN, reports/metrics/{export,quantize,engine}/RUN.json,
        data/curated/samples.csv
writes  reports/metrics/benchmark/RUN.json
"""

from pipeline.measure.benchmark import benchmark_run
from pipeline.stage_table import run_stage

if __name__ == "__main__":
    run_stage("benchmark", benchmark_run, __doc__)
