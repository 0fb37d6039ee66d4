#include "fake_platform.h"

#include <algorithm>
#include <cstring>

#include "package_builder.h"
#include "platform/ethos_u55_registers.h"
#include "platform/platform.h"
#include "platform/services.h"

namespace enhancer {
namespace fake {
namespace {

constexpr std::uint32_t kNpuId = 0x10104004;

Platform state;
bool interrupt = false;
std::uint64_t now = 0;
struct OpenFile {
  std::string path;
  std::size_t position;
};
std::map<int, OpenFile> open_files;
alignas(16) std::uint8_t sram[1 << 20];
alignas(16) std::uint8_t model[1 << 20];

}  // namespace

Platform& platform() { return state; }

void reset() {
  state = Platform{};
  state.npu_registers[ethos_u55::kId] = kNpuId;
  state.npu_registers[ethos_u55::kConfig] = kConfig;
  open_files.clear();
  interrupt = false;
}

void raise_npu_interrupt() { interrupt = true; }

void* npu_pointer(std::uint32_t offset) {
  const std::uint64_t low = state.npu_registers[offset];
  const std::uint64_t high = state.npu_registers[offset + 4];
  return reinterpret_cast<void*>(high << 32 | low);
}

}  // namespace fake

namespace platform {

using fake::state;

const char* board() { return "fake"; }
void console_write(Span<const char> text) { state.console.append(text.data(), text.size()); }
std::uint64_t ticks() { return fake::now += 100; }
std::uint32_t ticks_per_second() { return 1000000; }
std::size_t stack_used_bytes() { return 123; }
std::size_t stack_capacity_bytes() { return 456; }

Span<const std::uint8_t> model_memory() {
  std::copy(state.model.begin(), state.model.end(), fake::model);
  return {fake::model, state.model.size()};
}

Span<std::uint8_t> arena_memory() { return {fake::sram, state.npu_sram_bytes}; }

std::uint32_t npu_read(std::uint32_t offset) { return state.npu_registers[offset]; }

void npu_write(std::uint32_t offset, std::uint32_t value) {
  state.npu_registers[offset] = value;
  if (offset == ethos_u55::kReset) {
    state.npu_registers[ethos_u55::kStatus] = state.npu_resets ? 0 : ethos_u55::kStatusResetPending;
    state.npu_registers[ethos_u55::kProtection] = value;
  }
  if (offset == ethos_u55::kCommand && (value & ethos_u55::kCommandRun) != 0) {
    fake::interrupt = state.on_run();
  }
}

void cache_clean(const void* data, std::size_t bytes) {
  state.cache_log.push_back({"clean", data, bytes});
}

void cache_invalidate(void* data, std::size_t bytes) {
  state.cache_log.push_back({"invalidate", data, bytes});
}

void npu_set_memory_timing(int /*axi_port*/, Span<const std::uint32_t> /*registers*/) {}

bool npu_wait_for_interrupt(std::uint64_t timeout_ticks) {
  const bool raised = fake::interrupt;
  fake::now += raised ? 0 : timeout_ticks;
  fake::interrupt = false;
  return raised;
}

bool File::open(const char* path, Mode mode) {
  close();
  if (mode == Mode::kRead && state.files.count(path) == 0) {
    return false;
  }
  if (mode == Mode::kWrite) {
    state.files[path].clear();
  }
  handle_ = 0;
  while (fake::open_files.count(handle_) != 0) {
    ++handle_;
  }
  fake::open_files[handle_] = {path, 0};
  return true;
}

std::size_t File::read(void* data, std::size_t bytes) {
  fake::OpenFile& file = fake::open_files.at(handle_);
  const std::string& content = state.files.at(file.path);
  const std::size_t start = std::min(file.position, content.size());
  const std::size_t count = std::min(bytes, content.size() - start);
  std::memcpy(data, content.data() + start, count);
  file.position = start + count;
  return count;
}

bool File::write(const void* data, std::size_t bytes) {
  fake::OpenFile& file = fake::open_files.at(handle_);
  std::string& content = state.files.at(file.path);
  if (file.position + bytes > state.disk_bytes) {
    return false;
  }
  content.resize(std::max(content.size(), file.position + bytes));
  content.replace(file.position, bytes, static_cast<const char*>(data), bytes);
  file.position += bytes;
  return true;
}

bool File::seek(std::size_t position) {
  fake::open_files.at(handle_).position = position;
  return true;
}

bool File::close() {
  if (handle_ != kClosed) {
    fake::open_files.erase(handle_);
    handle_ = kClosed;
  }
  return true;
}

}  // namespace platform
}  // namespace enhancer
