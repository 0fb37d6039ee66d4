#include <cstdarg>
#include <cstdio>

#include "report/report.h"
#include "tensorflow/lite/micro/debug_log.h"

/// TensorFlow Lite Micro's messages become reports.
extern "C" {

void DebugLog(const char* format, va_list arguments) {  // NOLINT: upstream's name
  char text[160];
  if (std::vsnprintf(text, sizeof text, format, arguments) > 0) {
    enhancer::Report("message").add_text("text", text).send();
  }
}

int DebugVsnprintf(char* text, std::size_t bytes, const char* format,
                   va_list arguments) {  // NOLINT
  return std::vsnprintf(text, bytes, format, arguments);
}
}
