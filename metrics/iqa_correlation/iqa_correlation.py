from hf_clipdyn.metric_module import module_of
from hf_clipdyn.metrics.iqa_correlation import iqa_correlation

IqaCorrelation = module_of(iqa_correlation)
