"""One module for each data set or family of them; `hf_clipdyn.data.base` shows how to add one."""
