from hf_clipdyn.metric_module import module_of
from hf_clipdyn.metrics.contrastive_geometry import contrastive_geometry

ContrastiveGeometry = module_of(contrastive_geometry)
