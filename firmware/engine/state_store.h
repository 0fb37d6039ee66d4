#pragma once

#include <cstring>

#include "engine/arena.h"
#include "model/package.h"

namespace enhancer {

/// Give every element of a quantized tensor at `data` the real value 0.
inline void set_to_zero(const TensorRecord& tensor, std::uint8_t* data) {
  // An int16 tensor has zero point 0, so one byte value serves both types.
  std::memset(data, tensor.zero_point, tensor.bytes);
}

/// Keeps the recurrent state between hops, outside the tensors of the model: there, an output may
/// share bytes with the input that it is to become.
class StateStore {
 public:
  /// Take the memory for the states of a package.
  void load(const ModelPackage& package, Arena& arena) {
    package_ = &package;
    memory_ = arena.take(package.state_in.bytes());
  }

  void reset() {
    std::uint8_t* state = memory_.data();
    for (const TensorRecord& tensor : package_->state_in) {
      set_to_zero(tensor, state);
      state += tensor.bytes;
    }
  }

  /// Copy to the inputs before a hop; `locate` tells where a tensor is.
  template <typename Locate>
  void restore(Locate locate) const {
    const std::uint8_t* state = memory_.data();
    for (const TensorRecord& tensor : package_->state_in) {
      std::memcpy(locate(tensor), state, tensor.bytes);
      state += tensor.bytes;
    }
  }

  /// Copy from the outputs after it.
  template <typename Locate>
  void save(Locate locate) {
    std::uint8_t* state = memory_.data();
    for (const TensorRecord& tensor : package_->state_out) {
      std::memcpy(state, locate(tensor), tensor.bytes);
      state += tensor.bytes;
    }
  }

  std::size_t bytes() const { return memory_.size(); }

 private:
  const ModelPackage* package_ = nullptr;
  Span<std::uint8_t> memory_;
};

}  // namespace enhancer
