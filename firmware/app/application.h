#pragma once

#include "base/status.h"

namespace enhancer {

/// Parse the command line, load the model found in memory, run the command, report. The command
/// line is cut into words in place. Commands:
///   enhance NOISY.wav ENHANCED.wav [TRACE], and likewise enhance-pipelined and enhance-live
///   run INPUTS OUTPUTS
///   benchmark [PASSES]
Error run_application(char* command_line);

}  // namespace enhancer
