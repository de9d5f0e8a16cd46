"""Distillation methods: one file for each method, and one line in this table."""

METHODS: dict[str, str] = {
    # on the backbone's features
    "gdd": "pipeline.distillation.gdd:GDD",
    "mgd": "pipeline.distillation.mgd:MGD",
    "afdcd": "pipeline.distillation.afdcd:AfDCD",
    "nfd": "pipeline.distillation.nfd:NFD",
    "pkd": "pipeline.distillation.pkd:PKD",
    "diffkd": "pipeline.distillation.diffkd:DiffKD",
    # on the head's features
    "at": "pipeline.distillation.at:AT",
    "fitnet": "pipeline.distillation.fitnet:FitNet",
    "cwd_features": "pipeline.distillation.cwd:CWDFeatures",
    "skd_pair": "pipeline.distillation.skd:SKDPair",
    "ifvd": "pipeline.distillation.ifvd:IFVD",
    "srd": "pipeline.distillation.srd:SRD",
    "cirkd_minibatch": "pipeline.distillation.cirkd:CIRKDMiniBatch",
    "cirkd_memory": "pipeline.distillation.cirkd:CIRKDMemory",
    "fakd": "pipeline.distillation.experimental.fakd:FAKD",
    # on the logits
    "kd": "pipeline.distillation.kd:KD",
    "ferkd": "pipeline.distillation.experimental.ferkd:FerKD",
    "adakd": "pipeline.distillation.experimental.adakd:AdaKD",
    "cwd": "pipeline.distillation.cwd:CWD",
    "skd_pixel": "pipeline.distillation.skd:SKDPixel",
    "cauchy_schwarz": "pipeline.distillation.experimental.cauchy_schwarz:CauchySchwarz",
    "bckd": "pipeline.distillation.experimental.bckd:BCKD",
    "dist": "pipeline.distillation.dist:DIST",
    "maskd": "pipeline.distillation.maskd:MasKD",
    "diffkd_logits": "pipeline.distillation.diffkd:DiffKDLogits",
}
"""The subclass of `pipeline.distillation.method.Method` for each name in `params.yaml`."""
