#pragma once

#include <algorithm>
#include <cstring>

#include "engine/arena.h"
#include "engine/state_store.h"
#include "model/package.h"

namespace enhancer {

/// Keeps earlier frames of features and outputs for the inputs that hold them side by side.
class HistoryStore {
 public:
  /// Take the memory for the frames of a package.
  void load(const ModelPackage& package, Arena& arena) {
    package_ = &package;
    bytes_ = 0;
    for (std::size_t source = 0; source < package.sources(); ++source) {
      Ring& ring = rings_[source];
      ring = Ring{};
      for (const DelayedFrame& frame : package.delays) {
        ring.frames = frame.source == source ? std::max(ring.frames, frame.delay) : ring.frames;
      }
      // One more, so that the features of a hop that has to be repeated do no harm.
      ring.slots = ring.frames > 0 ? ring.frames + 1 : 0;
      ring.memory = arena.take(std::uint64_t{ring.slots} * package.source(source).bytes);
      bytes_ += ring.memory.size();
    }
  }

  void reset() {
    for (std::size_t source = 0; source < package_->sources(); ++source) {
      for (std::uint32_t slot = 0; slot < rings_[source].slots; ++slot) {
        set_to_zero(package_->source(source), frame(source, slot));
      }
    }
  }

  /// Fill the delayed inputs before a hop, whose features are in place; `locate` tells where a
  /// tensor is.
  template <typename Locate>
  void restore(Locate locate) {
    for (const DelayedFrame& part : package_->delays) {
      const Ring& ring = rings_[part.source];
      const TensorRecord& input = package_->delayed_in[part.input];
      const std::uint32_t rows = package_->source(part.source).bytes / part.row_bytes;
      const std::uint8_t* from =
          frame(part.source, (ring.next + ring.slots - part.delay) % ring.slots);
      std::uint8_t* to = locate(input) + part.offset;
      for (std::uint32_t row = 0; row < rows; ++row) {
        std::memcpy(to, from, part.row_bytes);
        from += part.row_bytes;
        to += input.bytes / rows;
      }
    }
    keep(0, locate);
  }

  /// Keep the outputs after a hop.
  template <typename Locate>
  void save(Locate locate) {
    for (std::size_t source = 0; source < package_->sources(); ++source) {
      if (source > 0) {
        keep(source, locate);
      }
      Ring& ring = rings_[source];
      ring.next = ring.slots > 0 ? (ring.next + 1) % ring.slots : 0;
    }
  }

  std::size_t bytes() const { return bytes_; }

 private:
  struct Ring {
    Span<std::uint8_t> memory;
    std::uint32_t frames = 0;
    std::uint32_t slots = 0;
    std::uint32_t next = 0;
  };

  std::uint8_t* frame(std::size_t source, std::uint32_t slot) {
    return rings_[source].memory.data() + std::size_t{slot} * package_->source(source).bytes;
  }

  template <typename Locate>
  void keep(std::size_t source, Locate locate) {
    if (rings_[source].slots > 0) {
      const TensorRecord& tensor = package_->source(source);
      std::memcpy(frame(source, rings_[source].next), locate(tensor), tensor.bytes);
    }
  }

  const ModelPackage* package_ = nullptr;
  std::size_t bytes_ = 0;
  Ring rings_[1 + TensorList::kCapacity];
};

}  // namespace enhancer
