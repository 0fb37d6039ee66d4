#include "platform/cortex_m/semihosting.h"

#include <cstdint>
#include <cstring>

#include "platform/services.h"

namespace enhancer {
namespace {

enum Operation : std::uint32_t {
  kOpen = 0x01,
  kClose = 0x02,
  kWriteCharacter = 0x03,
  kWrite = 0x05,
  kRead = 0x06,
  kSeek = 0x0A,
  kGetCommandLine = 0x15,
  kExitExtended = 0x20,
};

constexpr std::uint32_t kApplicationExit = 0x20026;
constexpr std::uint32_t kReadBinary = 1;
constexpr std::uint32_t kWriteBinary = 5;

std::int32_t call(Operation operation, const void* arguments) {
  register std::uint32_t r0 asm("r0") = operation;
  register const void* r1 asm("r1") = arguments;
  asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return static_cast<std::int32_t>(r0);
}

template <typename T>
std::uint32_t word(T value) {
  return (std::uint32_t)value;  // NOLINT: pointers and numbers alike
}

}  // namespace

void cortex_m::semihosting::exit(int code) {
  const std::uint32_t arguments[] = {kApplicationExit, word(code)};
  call(kExitExtended, arguments);
  for (;;) {
    asm volatile("wfi");
  }
}

void cortex_m::semihosting::write(Span<const char> text) {
  for (const char& character : text) {
    call(kWriteCharacter, &character);
  }
}

bool cortex_m::semihosting::command_line(char* text, std::size_t bytes) {
  const std::uint32_t arguments[] = {word(text), word(bytes)};
  return call(kGetCommandLine, arguments) == 0;
}

namespace platform {

bool File::open(const char* path, Mode mode) {
  close();
  const std::uint32_t arguments[] = {word(path), mode == Mode::kRead ? kReadBinary : kWriteBinary,
                                     word(std::strlen(path))};
  handle_ = call(kOpen, arguments);
  return handle_ != kClosed;
}

std::size_t File::read(void* data, std::size_t bytes) {
  const std::uint32_t arguments[] = {word(handle_), word(data), word(bytes)};
  const auto missing = static_cast<std::uint32_t>(call(kRead, arguments));
  return missing <= bytes ? bytes - missing : 0;
}

bool File::write(const void* data, std::size_t bytes) {
  const std::uint32_t arguments[] = {word(handle_), word(data), word(bytes)};
  return call(kWrite, arguments) == 0;
}

bool File::seek(std::size_t position) {
  const std::uint32_t arguments[] = {word(handle_), word(position)};
  return call(kSeek, arguments) == 0;
}

bool File::close() {
  if (handle_ == kClosed) {
    return true;
  }
  const std::uint32_t arguments[] = {word(handle_)};
  handle_ = kClosed;
  return call(kClose, arguments) == 0;
}

}  // namespace platform
}  // namespace enhancer
