// A unit of work: the outputs and state changes of one event or one run of a timer. They count as a whole or not at
// all.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "mephisto/base/buffer.h"
#include "mephisto/task.h"

namespace mephisto {
class WaitQueue;
}

namespace mephisto::detail {

class Participant;

// The changes of a unit of work in the state of one participant (participant.h).
struct StateChange {
  virtual ~StateChange() = default;
  // Forgets the changes. The object is used again for a later unit.
  virtual void clear() = 0;
};

struct UnitOfWork {
  enum class Kind : std::uint8_t { kEvent, kTimer };

  Kind kind = Kind::kEvent;
  bool done = false;     // it counts already
  bool sent = false;     // something was sent for it
  bool changed = false;  // it has changes of state
  bool mixed = false;    // a batch of events from several partitions
  // Another unit in flight has changed the same state: this one must run again when the queue is notified.
  WaitQueue* conflict = nullptr;
  Buffer staged{};  // under exactly once, the records that it has sent so far (staged.h)

  // The unit's change of `participant`. Creates a new T if there is none yet.
  template <class T>
  T& change(Participant& participant) {
    changed = true;
    for (auto& [owner, change] : changes_) {
      if (owner == &participant) return static_cast<T&>(*change);
    }
    changes_.emplace_back(&participant, std::make_unique<T>());
    return static_cast<T&>(*changes_.back().second);
  }
  // Gives each change to `take(participant, change)`, and forgets it.
  template <class F>
  void take_changes(F take) {
    for (auto& [owner, change] : changes_) {
      take(*owner, *change);
      change->clear();
    }
    changed = false;
  }
  void forget_changes() {
    take_changes([](Participant&, StateChange&) {});
  }
  // Forgets the outputs and changes of the unit, because it failed.
  void discard() {
    staged.clear();
    if (changed) forget_changes();
    conflict = nullptr;
  }

 private:
  std::vector<std::pair<Participant*, std::unique_ptr<StateChange>>> changes_;
};

// The unit of work of the running task, or null.
inline UnitOfWork* current_unit() {
  auto* context = TaskContext::current();
  return context == nullptr ? nullptr : context->current_unit;
}

// Thrown when a unit needs state that another unit in flight has changed (UnitOfWork::conflict). The unit is discarded
// and runs again. It is no std::exception, so that handlers do not catch it by accident.
struct UnitConflict {};
inline constexpr std::chrono::seconds kStateWait{1};  // then it runs again in any case

}  // namespace mephisto::detail
