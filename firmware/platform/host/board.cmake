set(HAS_NPU ON)
