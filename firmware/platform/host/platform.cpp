#include "platform/platform.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <vector>

#include "npu_device.h"
#include "platform/ethos_u55_registers.h"
#include "platform/host/host_npu.h"
#include "platform/services.h"

namespace enhancer {
namespace {

constexpr std::size_t kNpuSramBytes = std::size_t{2} << 20;
constexpr std::size_t kAlignment = 16;

alignas(kAlignment) std::uint8_t npu_memory[kNpuSramBytes];

struct alignas(kAlignment) Block {
  std::uint8_t bytes[kAlignment];
};
std::vector<Block> model;
std::size_t model_bytes = 0;

job_channel jobs{-1};
npu_device npu;
bool npu_connected = false;
bool npu_interrupt = false;

/// Whether the virtual NPU may touch these bytes: the same memories that it reaches on the board.
template <typename T>
bool inside(Span<T> memory, std::uint64_t address, std::size_t bytes) {
  const auto start = reinterpret_cast<std::uintptr_t>(memory.data());
  return address >= start && bytes <= memory.size() && address - start <= memory.size() - bytes;
}

bool npu_reads(void* /*context*/, std::uint64_t address, void* data, std::size_t bytes) {
  if (!inside(platform::model_memory(), address, bytes) &&
      !inside(platform::arena_memory(), address, bytes)) {
    return false;
  }
  std::memcpy(data, reinterpret_cast<const void*>(address), bytes);
  return true;
}

bool npu_writes(void* /*context*/, std::uint64_t address, const void* data, std::size_t bytes) {
  if (!inside(platform::arena_memory(), address, bytes)) {
    return false;
  }
  std::memcpy(reinterpret_cast<void*>(address), data, bytes);
  return true;
}

void set_interrupt(void* /*context*/, bool raised) { npu_interrupt = npu_interrupt || raised; }

void complete_after(void* /*context*/, std::uint64_t /*delay_ns*/) { npu_device_complete(&npu); }

}  // namespace

bool host::connect_npu(const char* socket_path, unsigned macs) {
  const npu_machine machine = {nullptr, npu_reads, npu_writes, set_interrupt, complete_after};
  npu_interrupt = false;
  job_channel_close(&jobs);
  npu_connected =
      job_channel_open(&jobs, socket_path) && npu_device_init(&npu, &machine, &jobs, macs);
  return npu_connected;
}

bool host::load_model(const char* path) {
  std::FILE* file = std::fopen(path, "rb");
  if (file == nullptr) {
    return false;
  }
  model.clear();
  model_bytes = 0;
  Block block{};
  std::size_t got = 0;
  while ((got = std::fread(block.bytes, 1, sizeof block.bytes, file)) > 0) {
    model.push_back(block);
    model_bytes += got;
  }
  std::fclose(file);
  return true;
}

namespace platform {

const char* board() { return "host"; }

void console_write(Span<const char> text) { std::fwrite(text.data(), 1, text.size(), stdout); }

std::uint64_t ticks() {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch() /
                                    std::chrono::nanoseconds(1));
}

std::uint32_t ticks_per_second() { return 1000000000; }

std::size_t stack_used_bytes() { return 0; }

std::size_t stack_capacity_bytes() { return 0; }

Span<const std::uint8_t> model_memory() {
  return {reinterpret_cast<const std::uint8_t*>(model.data()), model_bytes};
}

Span<std::uint8_t> arena_memory() { return npu_memory; }

std::uint32_t npu_read(std::uint32_t offset) {
  return npu_connected ? npu_device_read(&npu, offset) : 0;
}

void npu_write(std::uint32_t offset, std::uint32_t value) {
  if (npu_connected) {
    npu_device_write(&npu, offset, value);
  }
}

bool npu_wait_for_interrupt(std::uint64_t /*timeout_ticks*/) {
  // The virtual NPU works while its command register is written: it has answered or never will.
  const bool raised = npu_interrupt;
  npu_write(ethos_u55::kCommand, ethos_u55::kCommandGating | ethos_u55::kCommandClearInterrupt);
  npu_interrupt = false;
  return raised;
}

void cache_clean(const void* /*data*/, std::size_t /*bytes*/) {}

void cache_invalidate(void* /*data*/, std::size_t /*bytes*/) {}

void npu_set_memory_timing(int /*axi_port*/, Span<const std::uint32_t> /*registers*/) {}

bool File::open(const char* path, Mode mode) {
  constexpr mode_t kPermissions = 0666;
  close();
  handle_ = mode == Mode::kRead ? ::open(path, O_RDONLY)
                                : ::open(path, O_WRONLY | O_CREAT | O_TRUNC, kPermissions);
  return handle_ != kClosed;
}

std::size_t File::read(void* data, std::size_t bytes) {
  const ssize_t done = ::read(handle_, data, bytes);
  return done > 0 ? static_cast<std::size_t>(done) : 0;
}

bool File::write(const void* data, std::size_t bytes) {
  return ::write(handle_, data, bytes) == static_cast<ssize_t>(bytes);
}

bool File::seek(std::size_t position) {
  return ::lseek(handle_, static_cast<off_t>(position), SEEK_SET) >= 0;
}

bool File::close() {
  const bool closed = handle_ == kClosed || ::close(handle_) == 0;
  handle_ = kClosed;
  return closed;
}

}  // namespace platform
}  // namespace enhancer
