"""Section `evaluation`: on what networks and artifacts are judged."""

from pipeline.params.sections import Count, Split, section


@section
class EvaluationParams:
    split: Split = "test"  # never one of training.splits
    batch_size: Count = 8
