"""Curation: decide which samples may be used. A rule is a function with the decorator `rule` in one of RULE_MODULES."""

RULE_MODULES = ("pipeline.curation.sample_rules", "pipeline.curation.dataset_rules")
