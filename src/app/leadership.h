// Whether a shard is the leader of its app: it has the only partition of the leader topic.
#pragma once

#include <cstdint>

#include "mephisto/sync.h"

namespace mephisto::detail {

struct Leadership {
  bool leads = false;
  std::uint64_t term = 0;  // grows with every change
  WaitQueue changed;

  void set(bool now) {
    leads = now;
    ++term;
    changed.notify_all();
  }
};

}  // namespace mephisto::detail
