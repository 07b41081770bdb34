from hf_clipdyn.metric_module import module_of
from hf_clipdyn.metrics.saliency import saliency

Saliency = module_of(saliency)
