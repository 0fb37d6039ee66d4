#pragma once

#include <cstddef>
#include <cstdint>

#include "base/span.h"
#include "base/status.h"

namespace enhancer {

/// One JSON object on one line of the console: {"v":3,"type":"summary","hops":9,...}. The schema is
/// in docs/firmware-reference.md and pipeline/boards/protocol.py. Values are integers or plain
/// text.
class Report {
 public:
  explicit Report(const char* type);
  Report& add(const char* key, std::uint64_t value);
  /// Characters that JSON or a terminal would take for more than themselves become spaces.
  Report& add_text(const char* key, const char* text);
  void send();

 private:
  static constexpr std::size_t kLineBytes = 1024;
  void append(const char* text);
  void append_key(const char* key);

  char line_[kLineBytes];
  std::size_t used_ = 0;
};

/// Report a failed status.
void report_error(const Status& status);

/// Report the end of the run, then send EOT (0x04), at which a simulator stops.
void report_end(Error error);

}  // namespace enhancer
