from hf_clipdyn.metric_module import module_of
from hf_clipdyn.metrics.error_consistency import error_consistency

ErrorConsistency = module_of(error_consistency)
