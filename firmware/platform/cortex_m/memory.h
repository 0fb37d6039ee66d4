#pragma once

namespace enhancer::cortex_m {

/// Fill the unused stack with a pattern by which its deepest use is found later.
void paint_stack();

}  // namespace enhancer::cortex_m
