"""Section `report`: the page."""

from pipeline.params.sections import Count, section


@section
class ReportParams:
    title: str = "Segmentation"
    examples: Count = 2  # rows of the picture grid for each of best, median and worst
