from hf_clipdyn.metric_module import module_of
from hf_clipdyn.metrics.jnd_map import jnd_map

JndMap = module_of(jnd_map)
