#pragma once

namespace enhancer::host {

/// Connect the NPU registers of the host platform to an NPU model listening on a UNIX socket.
/// Without a connection the NPU registers read zero, as where there is no NPU.
bool connect_npu(const char* socket_path, unsigned macs);

/// Map a model package into the memory the firmware searches.
bool load_model(const char* path);

}  // namespace enhancer::host
