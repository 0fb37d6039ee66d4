"""One thread for arithmetic, in tests and in what they start, so that sums are always in one order.

Set before NumPy and TensorFlow load; a run from the command line does the same.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"
