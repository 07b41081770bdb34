from hf_clipdyn.metric_module import module_of
from hf_clipdyn.metrics.cka import cka

RepresentationSimilarity = module_of(cka)
