"""Section `parity`: how much an artifact may differ from its checkpoint over the whole evaluation split."""

from pipeline.params.sections import Count, Fraction, Positive, Precision, section


@section
class BudgetParams:
    min_pixel_agreement: Fraction  # share of pixels with the same label
    min_boundary_agreement: Fraction  # of those at boundaries
    max_miou_lost_points: Positive  # points of 100
    max_class_lost_points: Positive  # points of the class that loses most


def _budget(pixels: float, boundary: float, miou: float, of_class: float) -> BudgetParams:
    return BudgetParams(
        min_pixel_agreement=pixels,
        min_boundary_agreement=boundary,
        max_miou_lost_points=miou,
        max_class_lost_points=of_class,
    )


@section
class ParityParams:
    boundary_pixels: Count = 2  # pixels this close to another class are at a boundary
    onnx_fp32: BudgetParams = _budget(0.9999, 0.999, 0.01, 0.05)
    engine_fp32: BudgetParams = _budget(0.999, 0.99, 0.02, 0.1)
    fp16: BudgetParams = _budget(0.995, 0.96, 0.05, 0.25)
    int8: BudgetParams = _budget(0.96, 0.7, 0.3, 3.0)

    def budget(self, precision: Precision, engine: bool) -> BudgetParams:
        if precision == "fp32":
            return self.engine_fp32 if engine else self.onnx_fp32
        return self.fp16 if precision == "fp16" else self.int8
