from hf_clipdyn.metric_module import module_of
from hf_clipdyn.metrics.two_afc import two_afc

TwoAfc = module_of(two_afc)
