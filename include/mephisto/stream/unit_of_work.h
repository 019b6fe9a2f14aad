// A unit of work: the outputs and state changes of one event or one run of a timer. They count as a whole or not at
// all.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "mephisto/base/buffer.h"

namespace mephisto::detail {

class Participant;

// The changes of a unit of work in the state of one participant (participant.h).
struct StateChange {
  virtual ~StateChange() = default;
};
using StateChanges = std::map<Participant*, std::unique_ptr<StateChange>>;

struct UnitOfWork {
  enum class Kind : std::uint8_t { kEvent, kTimer };

  Kind kind = Kind::kEvent;
  bool done = false;  // it counts already
  bool sent = false;  // something was sent for it
  Buffer staged{};    // under exactly once, the records that it has sent so far (staged.h)
  std::unique_ptr<StateChanges> changes{};

  // The unit's change of `participant`. Creates a new T if there is none yet.
  template <class T>
  T& change(Participant& participant) {
    if (!changes) changes = std::make_unique<StateChanges>();
    auto& change = (*changes)[&participant];
    if (!change) change = std::make_unique<T>();
    return static_cast<T&>(*change);
  }
  // Forgets the outputs and changes of the unit, because it failed.
  void discard() {
    staged.clear();
    changes.reset();
  }
};

}  // namespace mephisto::detail
