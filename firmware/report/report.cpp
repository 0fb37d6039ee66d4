#include "report/report.h"

#include "platform/services.h"

namespace enhancer {
namespace {

constexpr std::uint64_t kProtocolVersion = 3;
constexpr std::size_t kTailBytes = 3;  // "}\r\n"

}  // namespace

Report::Report(const char* type) {
  append("{\"v\":");
  char digits[2] = {static_cast<char>('0' + kProtocolVersion), '\0'};
  append(digits);
  add_text("type", type);
}

void Report::append(const char* text) {
  while (*text != '\0' && used_ + kTailBytes < kLineBytes) {
    line_[used_++] = *text++;
  }
}

void Report::append_key(const char* key) {
  append(",\"");
  append(key);
  append("\":");
}

Report& Report::add(const char* key, std::uint64_t value) {
  char digits[21];
  char* first = digits + sizeof digits - 1;
  *first = '\0';
  do {
    *--first = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  append_key(key);
  append(first);
  return *this;
}

Report& Report::add_text(const char* key, const char* text) {
  append_key(key);
  append("\"");
  for (; *text != '\0'; ++text) {
    const bool plain = *text >= ' ' && *text <= '~' && *text != '"' && *text != '\\';
    const char character[2] = {plain ? *text : ' ', '\0'};
    append(character);
  }
  append("\"");
  return *this;
}

void Report::send() {
  line_[used_++] = '}';
  line_[used_++] = '\r';
  line_[used_++] = '\n';
  platform::console_write({line_, used_});
}

void report_error(const Status& status) {
  Report("error")
      .add("code", static_cast<std::uint64_t>(status.error))
      .add_text("name", error_name(status.error))
      .add("expected", status.expected)
      .add("actual", status.actual)
      .send();
}

void report_end(Error error) {
  Report("end").add("exit_code", static_cast<std::uint64_t>(error)).send();
  constexpr char kEndOfTransmission[1] = {'\x04'};
  platform::console_write({kEndOfTransmission, sizeof kEndOfTransmission});
}

}  // namespace enhancer
