"""Section `inspection`: what the teacher's look at every sample counts as a mistake."""

from pipeline.params.sections import Count, Fraction, section


@section
class InspectionParams:
    boundary_pixels: Count = 3  # pixels this close to another label are at a boundary
    min_confidence: Fraction = 0.8  # of the teacher in every pixel that it holds to be mislabelled
    min_region_pixels: Count = 200  # smaller regions are not reported
    view_samples: Count = 4  # of each view, in the report
