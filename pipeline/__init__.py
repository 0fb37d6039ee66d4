"""From a Keras speech enhancer to a sparse int8 network on an Arm Ethos-U microNPU.

TF-MOT still speaks Keras 2, so every module here uses ``tf_keras``. Setting the variable below
before TensorFlow is first imported keeps ``tf.keras`` on the same Keras; importing this package
first, last or in between is safe, and `pipeline.keras` refuses to run on a mixed pair.
"""

import os
from pathlib import Path

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# Matrix products here are small and run beside TensorFlow: more threads only get in its way.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# For `python -m pipeline.<name>`, stage or tool. Code imports them by their place.
__path__ += [str(Path(folder, kind)) for folder in __path__ for kind in ("stages", "tools")]
