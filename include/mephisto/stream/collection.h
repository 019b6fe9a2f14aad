// The records that are collected for the next append: one batch for each partition, with the events that sent them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "mephisto/stream/delivery.h"
#include "mephisto/stream/tickets.h"
#include "mephisto/stream/topic_directory.h"

namespace mephisto::detail {

struct PartitionBatch {
  BatchBuilder builder;
  std::vector<std::pair<Ticket, std::uint32_t>> awaited;  // the ticket and the row in the batch
  bool times_chosen = false;                              // a sender has chosen a record's time
  std::vector<Origin> origins;                            // without `last`
  Origin last;
  bool origin = false;  // an event has sent a record; `last` is the origin of the builder's last record

  // Registers the event that sent the builder's last record; null if no event sent it.
  void sent_for(const Slot* event) {
    if (event == nullptr && (!origin || last.assignment == 0)) return;
    const auto row = builder.count() - 1;
    Origin now{.row = row};
    if (event != nullptr) {
      const auto& lane = event->lane();
      const auto rows = row - last.row;
      const auto offset = event->record().offset;
      if (origin && last.assignment == lane.assigned.id && last.lane == lane.number) {
        if (!last.run && last.offset == offset) return;
        // Mostly each event sends one record.
        if ((last.run || rows == 1) && offset == last.offset + rows) {
          last.run = true;
          return;
        }
      }
      now = {row, lane.number, lane.assigned.id, offset};
    }
    if (origin) origins.push_back(last);
    last = now;
    origin = true;
  }
  std::vector<Origin> take_origins() {
    if (std::exchange(origin, false)) origins.push_back(last);
    return std::exchange(origins, {});
  }
};

struct Collection {
  using Key = std::pair<const TopicHandle*, int>;

  PartitionBatch& at(const TopicHandle& topic, int partition) {
    Key key{&topic, partition};
    if (last == nullptr || key != last_key) {
      last = &find(key);
      last_key = key;
    }
    return *last;
  }
  PartitionBatch& find(const Key& key);
  std::map<Key, PartitionBatch> batches;
  PartitionBatch* last = nullptr;
  Key last_key{};
  std::size_t bytes = 0;
};

}  // namespace mephisto::detail
