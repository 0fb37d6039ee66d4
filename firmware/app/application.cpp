#include "app/application.h"

#include <cstring>

#include "app/commands.h"
#include "engine/engines.h"
#include "model/package.h"
#include "platform/platform.h"
#include "platform/services.h"
#include "report/report.h"

namespace enhancer {
namespace {

constexpr const char* kFirmwareVersion = "3.0";
constexpr std::size_t kMaxWords = 4;
constexpr std::uint32_t kMaxPasses = 1000000;

struct EnhanceCommand {
  const char* name;
  EnhanceMode mode;
};
constexpr EnhanceCommand kEnhanceCommands[] = {
    {"enhance", {Schedule::kAtOnce, false}},
    {"enhance-pipelined", {Schedule::kPipelined, false}},
    {"enhance-live", {Schedule::kAtOnce, true}},
};

struct CommandLine {
  const char* words[kMaxWords] = {};
  std::size_t count = 0;
};

/// Cuts the words apart in place. Too many words give an empty command line.
CommandLine split(char* text) {
  CommandLine line;
  bool in_word = false;
  for (; *text != '\0'; ++text) {
    if (*text == ' ') {
      *text = '\0';
      in_word = false;
    } else if (!in_word) {
      if (line.count == kMaxWords) {
        return {};
      }
      line.words[line.count++] = text;
      in_word = true;
    }
  }
  return line;
}

/// A decimal number up to kMaxPasses, or 0 for anything else.
std::uint32_t parse_passes(const char* text) {
  std::uint32_t value = 0;
  for (; *text != '\0'; ++text) {
    if (*text < '0' || *text > '9' || value > kMaxPasses / 10) {
      return 0;
    }
    value = value * 10 + static_cast<std::uint32_t>(*text - '0');
  }
  return value;
}

Status run_command(const CommandLine& line, Engine& engine, const ModelPackage& package) {
  const char* command = line.count > 0 ? line.words[0] : "";
  for (const EnhanceCommand& enhance : kEnhanceCommands) {
    if (std::strcmp(command, enhance.name) == 0 && line.count >= 3) {
      return enhance_file(engine, package, line.words[1], line.words[2], line.words[3],
                          enhance.mode);
    }
  }
  if (std::strcmp(command, "run") == 0 && line.count == 3) {
    return run_inferences(engine, package, line.words[1], line.words[2]);
  }
  if (std::strcmp(command, "benchmark") == 0 && line.count <= 2) {
    const std::uint32_t passes = line.count == 2 ? parse_passes(line.words[1]) : 1;
    if (passes > 0) {
      return benchmark(engine, package, passes);
    }
  }
  return {Error::kUsage};
}

void report_start() {
  Report("start")
      .add_text("firmware", kFirmwareVersion)
      .add_text("board", platform::board())
      .add("ticks_per_second", platform::ticks_per_second())
      .send();
}

void report_model(const Engine& engine, const ModelPackage& package, std::uint64_t load_ticks) {
  const MemoryUse use = engine.memory_use();
  Report("model")
      .add_text("engine", engine.name())
      .add("package_bytes", package.bytes)
      .add("package_crc32", package.crc32)
      .add("arena_bytes", use.arena_bytes)
      .add("arena_capacity_bytes", use.arena_capacity_bytes)
      .add("weights_bytes", use.weights_bytes)
      .add_text("weights_placement", use.weights_in_sram ? "sram" : "flash")
      .add("load_ticks", load_ticks)
      .send();
}

Status run(char* command_line) {
  static ModelPackage package;
  static Engines engines;
  const CommandLine line = split(command_line);
  if (const Status status = parse_package(platform::model_memory(), package); !status.ok()) {
    return status;
  }
  Engine* engine = engines.find(package);
  if (engine == nullptr) {
    return {Error::kPackageNoEngine};
  }
  if (package.has_memory_timing) {
    platform::npu_set_memory_timing(0, package.memory_timing.axi0);
    platform::npu_set_memory_timing(1, package.memory_timing.axi1);
  }
  const std::uint64_t start = platform::ticks();
  if (const Status status = engine->load(package, platform::arena_memory()); !status.ok()) {
    return status;
  }
  report_model(*engine, package, platform::ticks() - start);
  return run_command(line, *engine, package);
}

}  // namespace

Error run_application(char* command_line) {
  report_start();
  const Status status = run(command_line);
  if (!status.ok()) {
    report_error(status);
  }
  report_end(status.error);
  return status.error;
}

}  // namespace enhancer
