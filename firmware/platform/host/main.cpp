#include <cstdio>
#include <cstdlib>
#include <string>

#include "app/application.h"
#include "platform/host/host_npu.h"

/// enhancer_host PACKAGE SOCKET MACS COMMAND...: the firmware as a program of this machine.
int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "usage: %s PACKAGE SOCKET MACS COMMAND...\n", argv[0]);
    return static_cast<int>(enhancer::Error::kUsage);
  }
  if (!enhancer::host::load_model(argv[1])) {
    std::fprintf(stderr, "%s: cannot be read\n", argv[1]);
    return static_cast<int>(enhancer::Error::kUsage);
  }
  const auto macs = static_cast<unsigned>(std::strtoul(argv[3], nullptr, 10));
  if (!enhancer::host::connect_npu(argv[2], macs)) {
    std::fprintf(stderr, "%s: no NPU model of %u MACs listens there\n", argv[2], macs);
    return static_cast<int>(enhancer::Error::kUsage);
  }
  std::string command;
  for (int index = 4; index < argc; ++index) {
    command += (index > 4 ? " " : "") + std::string(argv[index]);
  }
  return static_cast<int>(enhancer::run_application(command.data()));
}
